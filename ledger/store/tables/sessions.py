"""The table of sessions, which are logins with a cookie. It holds hashes only."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ledger.store.parameters import among, timestamp
from ledger.store.seam import Cursor

_ADD = (
    "INSERT INTO sessions (id_hash, account, csrf_hash, created, expires)"
    " SELECT ?, uuid, ?, ?, ? FROM accounts WHERE uuid = ? AND password_version = ?"
    " RETURNING account"
)
_PRESENT = "SELECT id_hash FROM sessions WHERE id_hash IN (...) AND expires > ?"
_TRIM = (
    "DELETE FROM sessions WHERE id_hash IN (SELECT id_hash FROM sessions WHERE account = ?"
    " ORDER BY created DESC, id_hash LIMIT 9223372036854775807 OFFSET ?) RETURNING id_hash"
)


class StoredSession(NamedTuple):
    """A session as it is stored."""

    account: str
    csrf_hash: bytes
    expires: datetime


def find(cursor: Cursor, id_hash: bytes) -> StoredSession | None:
    """Return the session whose id has this hash, even if it has expired."""
    cursor.execute("SELECT account, csrf_hash, expires FROM sessions WHERE id_hash = ?", (id_hash,))
    row = cursor.fetchone()
    return None if row is None else StoredSession(row[0], row[1], datetime.fromisoformat(row[2]))


def present(cursor: Cursor, id_hashes: Sequence[bytes], now: datetime) -> set[bytes]:
    """Return those of these sessions that are there and have not expired."""
    return {id_hash for (id_hash,) in among(cursor, _PRESENT, id_hashes, timestamp(now))}


def add(
    cursor: Cursor,
    *,
    id_hash: bytes,
    account: str,
    password_version: int,
    csrf_hash: bytes,
    created: datetime,
    expires: datetime,
) -> bool:
    """Add a session; return False if the account is gone or its password has changed."""
    times = timestamp(created), timestamp(expires)
    cursor.execute(_ADD, (id_hash, csrf_hash, *times, account, password_version))
    return bool(cursor.fetchall())


def trim(cursor: Cursor, account: str, limit: int) -> list[bytes]:
    """Remove all but the newest sessions of an account; return the hashes of the removed ids."""
    cursor.execute(_TRIM, (account, limit))
    return [id_hash for (id_hash,) in cursor.fetchall()]


def remove(cursor: Cursor, id_hash: bytes) -> None:
    cursor.execute("DELETE FROM sessions WHERE id_hash = ?", (id_hash,))


def remove_all_of(cursor: Cursor, account: str) -> int:
    """Remove the sessions of an account; return how many there were."""
    cursor.execute("DELETE FROM sessions WHERE account = ?", (account,))
    return cursor.rowcount


def remove_expired(cursor: Cursor, now: datetime) -> int:
    """Remove expired sessions; return how many there were."""
    cursor.execute("DELETE FROM sessions WHERE expires <= ?", (timestamp(now),))
    return cursor.rowcount
