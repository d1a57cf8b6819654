"""The table of known places: from where an account has logged in by its password.

A place is a keyed hash of an address, so that the table does not show where people are.
"""

from datetime import datetime, timedelta

from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor

KEPT = timedelta(days=90)
PLACES_MAX = 20
"""Places of one account; the one that was seen longest ago makes room."""

_RECORD = (
    "INSERT INTO known_places (account, place, seen) SELECT uuid, ?, ? FROM accounts"
    " WHERE uuid = ? AND password_version = ?"
    " ON CONFLICT (account, place) DO UPDATE SET seen = excluded.seen"
)
_TRIM = (
    "DELETE FROM known_places WHERE account = ? AND place IN (SELECT place FROM known_places"
    " WHERE account = ? ORDER BY seen DESC, place LIMIT 9223372036854775807 OFFSET ?)"
)


def seen(cursor: Cursor, account: str, place: bytes) -> datetime | None:
    """Return when the account last logged in from this place, if that is recorded."""
    cursor.execute(
        "SELECT seen FROM known_places WHERE account = ? AND place = ?", (account, place)
    )
    row = cursor.fetchone()
    return None if row is None else datetime.fromisoformat(row[0])


def record(
    cursor: Cursor, account: str, place: bytes, *, password_version: int, now: datetime
) -> None:
    """Record a login, unless the account is gone or its password has changed."""
    cursor.execute(_RECORD, (place, timestamp(now), account, password_version))
    cursor.execute(_TRIM, (account, account, PLACES_MAX))


def remove_all_of(cursor: Cursor, account: str) -> None:
    cursor.execute("DELETE FROM known_places WHERE account = ?", (account,))


def remove_expired(cursor: Cursor, now: datetime) -> int:
    """Remove places that were last seen too long ago; return how many there were."""
    cursor.execute("DELETE FROM known_places WHERE seen <= ?", (timestamp(now - KEPT),))
    return cursor.rowcount
