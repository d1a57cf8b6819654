"""The table of bearer tokens, each with an id by which it is managed. It holds hashes only.

What each may do is in a table of its own: a token without a row there is refused.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from ledger.domain.context import AddToken
from ledger.store.parameters import timestamp, timestamp_or_none
from ledger.store.seam import Cursor

ALL = "*"
"""The scopes of a token that may do whatever its account may."""

_GRANTED = (
    "SELECT tokens.id, tokens.account, tokens.name, tokens.created, scopes, restrictors, source,"
    " expires, issuer, used FROM tokens JOIN token_grants ON token_grants.token = tokens.id"
)
_LIST = (
    "SELECT tokens.id, accounts.email, tokens.name, tokens.created, scopes, restrictors, source,"
    " expires, issuer, used FROM tokens JOIN accounts ON accounts.uuid = tokens.account"
    " JOIN token_grants ON token_grants.token = tokens.id"
    " WHERE accounts.email = coalesce(?, accounts.email) ORDER BY tokens.created, tokens.id"
)
_ADD = (
    "INSERT INTO tokens (id, token_hash, account, name, created)"
    " SELECT CAST(? AS text), ?, uuid, CAST(? AS text), CAST(? AS text) FROM accounts"
    " WHERE uuid = ? AND password_version = coalesce(?, password_version)"
)
_GRANT = (
    "INSERT INTO token_grants SELECT id, CAST(? AS text), CAST(? AS text), CAST(? AS text),"
    " CAST(? AS text), CAST(? AS text), NULL FROM tokens WHERE id = ?"
)
_REMEMBER = (
    "INSERT INTO removed_tokens SELECT token_hash, CAST(? AS text) FROM tokens WHERE id = ?"
    " ON CONFLICT DO NOTHING"
)
_Row = tuple[str, str, str, str, str, str, str | None, str | None, str | None, str | None]


class StoredToken(NamedTuple):
    """A token as it is listed; without `scopes` it may do whatever its account may."""

    id: str
    email: str
    name: str
    created: str
    scopes: tuple[str, ...] | None = None
    restrictors: tuple[str, ...] = ()
    source: str | None = None
    expires: str | None = None
    issuer: str | None = None
    used: str | None = None


class GrantedToken(NamedTuple):
    """A token with the account that it acts for, and what it may do."""

    id: str
    account: str
    name: str
    created: datetime
    scopes: tuple[str, ...] | None
    restrictors: tuple[str, ...]
    source: str | None
    expires: datetime | None
    issuer: str | None
    used: datetime | None


def by_hash(cursor: Cursor, token_hash: bytes) -> GrantedToken | None:
    cursor.execute(f"{_GRANTED} WHERE token_hash = ?", (token_hash,))
    return _first(cursor)


def by_id(cursor: Cursor, token_id: str) -> GrantedToken | None:
    cursor.execute(f"{_GRANTED} WHERE id = ?", (token_id,))
    return _first(cursor)


def owner_of(cursor: Cursor, token_id: str) -> str | None:
    """Return the uuid of the account that has this token."""
    cursor.execute("SELECT account FROM tokens WHERE id = ?", (token_id,))
    row = cursor.fetchone()
    return None if row is None else row[0]


def of_account(cursor: Cursor, account: str) -> list[GrantedToken]:
    """Return the tokens of an account, oldest first."""
    cursor.execute(f"{_GRANTED} WHERE account = ? ORDER BY tokens.created, tokens.id", (account,))
    return [_granted(row) for row in cursor.fetchall()]


def _first(cursor: Cursor) -> GrantedToken | None:
    row = cursor.fetchone()
    return None if row is None else _granted(row)


def _granted(row: _Row) -> GrantedToken:
    token_id, account, name, created, scopes, restrictors, source, expires, issuer, used = row
    return GrantedToken(
        token_id,
        account,
        name,
        datetime.fromisoformat(created),
        _scopes(scopes),
        _restrictors(restrictors),
        source,
        _moment(expires),
        issuer,
        _moment(used),
    )


def _moment(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored)


def _scopes(stored: str) -> tuple[str, ...] | None:
    return None if stored == ALL else tuple(stored.split())


def _restrictors(stored: str) -> tuple[str, ...]:
    return msgspec.json.decode(stored, type=tuple[str, ...])


def add(cursor: Cursor, new: AddToken) -> None:
    """Add a token with what it may do, if its account and the version of its password are there."""
    issued = new.issued
    created = timestamp(new.created)
    cursor.execute(
        _ADD,
        (new.token, new.token_hash, issued.name, created, issued.owner, new.password_version),
    )
    cursor.execute(
        _GRANT,
        (
            ALL if issued.scopes is None else " ".join(issued.scopes),
            msgspec.json.encode(issued.restrictors).decode(),
            issued.source,
            timestamp_or_none(issued.expires),
            issued.issuer,
            new.token,
        ),
    )


def grant_all(cursor: Cursor) -> None:
    """Let the tokens of an earlier version do whatever their accounts may, as before."""
    cursor.execute(
        "INSERT INTO token_grants SELECT id, ?, '[]', NULL, NULL, NULL, NULL FROM tokens"
        " WHERE true ON CONFLICT DO NOTHING",
        (ALL,),
    )


def count(cursor: Cursor, account: str) -> int:
    """Return how many tokens the account has."""
    cursor.execute("SELECT count(*) FROM tokens WHERE account = ?", (account,))
    return int(cursor.fetchone()[0])


def every(cursor: Cursor, email: str | None) -> list[StoredToken]:
    """Return the tokens of the account with this email, or all; oldest first."""
    cursor.execute(_LIST, (email,))
    return [
        StoredToken(
            token_id, owner, name, created, _scopes(scopes), _restrictors(restrictors), *rest
        )
        for token_id, owner, name, created, scopes, restrictors, *rest in cursor.fetchall()
    ]


def note_used(cursor: Cursor, used: Mapping[str, datetime]) -> None:
    """Store when tokens were last used."""
    cursor.executemany(
        "UPDATE token_grants SET used = ? WHERE token = ?",
        [(timestamp(at), token_id) for token_id, at in sorted(used.items())],
    )


def drop(cursor: Cursor, token_ids: Iterable[str], removed: datetime) -> None:
    """Remove tokens, and remember that they were there."""
    for token_id in token_ids:
        cursor.execute(_REMEMBER, (timestamp(removed), token_id))
        cursor.execute("DELETE FROM tokens WHERE id = ?", (token_id,))
        cursor.execute("DELETE FROM token_grants WHERE token = ?", (token_id,))


def was_removed(cursor: Cursor, token_hash: bytes) -> bool:
    cursor.execute("SELECT 1 FROM removed_tokens WHERE token_hash = ?", (token_hash,))
    return cursor.fetchone() is not None


def over(cursor: Cursor, expired: datetime) -> list[tuple[str, str]]:
    """Return (account, id) of the tokens that expired before, or whose account is gone."""
    cursor.execute(
        "SELECT tokens.account, tokens.id FROM tokens"
        " LEFT JOIN token_grants ON token_grants.token = tokens.id"
        " LEFT JOIN accounts ON accounts.uuid = tokens.account"
        " WHERE accounts.uuid IS NULL OR token_grants.expires < ?"
        " ORDER BY tokens.account, tokens.id",
        (timestamp(expired),),
    )
    return [(account, token_id) for account, token_id in cursor.fetchall()]


def has_removed(cursor: Cursor, before: datetime) -> bool:
    """Return whether a token is remembered that was removed before."""
    cursor.execute("SELECT 1 FROM removed_tokens WHERE removed < ? LIMIT 1", (timestamp(before),))
    return cursor.fetchone() is not None


def forget_removed(cursor: Cursor, before: datetime) -> int:
    """Forget the tokens that were removed before; return how many there were."""
    cursor.execute("DELETE FROM removed_tokens WHERE removed < ?", (timestamp(before),))
    return cursor.rowcount
