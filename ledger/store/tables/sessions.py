"""The table of sessions: who has logged in with a cookie, until when. It holds hashes only."""

from datetime import datetime
from typing import NamedTuple

from ledger.store.seam import Cursor

_ADD = (
    "INSERT INTO sessions (id_hash, account, csrf_hash, created, expires)"
    " SELECT ?, uuid, ?, ?, ? FROM accounts WHERE uuid = ? AND password_version = ?"
    " RETURNING account"
)
_TRIM = (
    "DELETE FROM sessions WHERE id_hash IN (SELECT id_hash FROM sessions WHERE account = ?"
    " ORDER BY created DESC, id_hash LIMIT 9223372036854775807 OFFSET ?) RETURNING id_hash"
)


class StoredSession(NamedTuple):
    """One session as it is stored."""

    account: str
    csrf_hash: bytes
    expires: datetime


def find(cursor: Cursor, id_hash: bytes) -> StoredSession | None:
    """The session whose id has this hash, expired or not."""
    cursor.execute("SELECT account, csrf_hash, expires FROM sessions WHERE id_hash = ?", (id_hash,))
    row = cursor.fetchone()
    return None if row is None else StoredSession(row[0], row[1], datetime.fromisoformat(row[2]))


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
    """Adds a session; False if the account is gone or has another password by now."""
    times = _text(created), _text(expires)
    cursor.execute(_ADD, (id_hash, csrf_hash, *times, account, password_version))
    return bool(cursor.fetchall())


def trim(cursor: Cursor, account: str, most: int) -> list[bytes]:
    """Removes all but the newest sessions of an account; the hashes of what is removed."""
    cursor.execute(_TRIM, (account, most))
    return [id_hash for (id_hash,) in cursor.fetchall()]


def remove(cursor: Cursor, id_hash: bytes) -> None:
    """Removes a session, if it is there."""
    cursor.execute("DELETE FROM sessions WHERE id_hash = ?", (id_hash,))


def remove_all_of(cursor: Cursor, account: str) -> None:
    """Removes every session of an account."""
    cursor.execute("DELETE FROM sessions WHERE account = ?", (account,))


def remove_expired(cursor: Cursor, now: datetime) -> int:
    """Removes what has expired; how many there were."""
    cursor.execute("DELETE FROM sessions WHERE expires <= ?", (_text(now),))
    return cursor.rowcount


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
