"""The table of bearer tokens, each with an id by which it is managed. It holds hashes only."""

from datetime import datetime
from typing import NamedTuple

from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor

_LIST = (
    "SELECT tokens.id, accounts.email, tokens.name, tokens.created"
    " FROM tokens JOIN accounts ON accounts.uuid = tokens.account"
    " WHERE accounts.email = coalesce(?, accounts.email) ORDER BY tokens.created, tokens.id"
)


class StoredToken(NamedTuple):
    """A token as it is listed."""

    id: str
    email: str
    name: str
    created: str


def account_of(cursor: Cursor, token_hash: bytes) -> str | None:
    """Return the uuid of the account whose token has this hash."""
    cursor.execute("SELECT account FROM tokens WHERE token_hash = ?", (token_hash,))
    row = cursor.fetchone()
    return None if row is None else row[0]


def id_of(cursor: Cursor, token_hash: bytes) -> str | None:
    cursor.execute("SELECT id FROM tokens WHERE token_hash = ?", (token_hash,))
    row = cursor.fetchone()
    return None if row is None else row[0]


def add(
    cursor: Cursor, *, token_id: str, token_hash: bytes, account: str, name: str, created: datetime
) -> None:
    cursor.execute(
        "INSERT INTO tokens (id, token_hash, account, name, created) VALUES (?, ?, ?, ?, ?)",
        (token_id, token_hash, account, name, timestamp(created)),
    )


def count(cursor: Cursor, account: str) -> int:
    """Return how many tokens the account has."""
    cursor.execute("SELECT count(*) FROM tokens WHERE account = ?", (account,))
    return int(cursor.fetchone()[0])


def every(cursor: Cursor, email: str | None) -> list[StoredToken]:
    """Return the tokens of the account with this email, or all; oldest first."""
    cursor.execute(_LIST, (email,))
    return [StoredToken(*row) for row in cursor.fetchall()]


def remove(cursor: Cursor, token_id: str) -> str | None:
    """Remove a token; return the uuid of its account, if there was one."""
    cursor.execute("DELETE FROM tokens WHERE id = ? RETURNING account", (token_id,))
    removed = cursor.fetchall()
    return removed[0][0] if removed else None


def remove_all_of(cursor: Cursor, account: str) -> int:
    """Remove the tokens of an account; return how many there were."""
    cursor.execute("DELETE FROM tokens WHERE account = ?", (account,))
    return cursor.rowcount
