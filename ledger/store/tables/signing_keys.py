"""The table of keys for short-lived signatures: one for each hour, shared by all nodes."""

from ledger.store.seam import Cursor


def make(cursor: Cursor, hour: int, key: bytes) -> None:
    """Store the key of an hour, unless there is one."""
    cursor.execute("INSERT INTO hourly_keys VALUES (?, ?) ON CONFLICT DO NOTHING", (hour, key))


def every(cursor: Cursor) -> dict[int, bytes]:
    """Return all keys by their hours."""
    cursor.execute("SELECT hour, key FROM hourly_keys")
    return dict(cursor.fetchall())


def remove_outside(cursor: Cursor, first: int, last: int) -> int:
    """Remove the keys of earlier and of later hours; return how many there were."""
    cursor.execute("DELETE FROM hourly_keys WHERE hour < ? OR hour > ?", (first, last))
    return cursor.rowcount
