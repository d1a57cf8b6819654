"""The table of guards, which count the decisions that rest on a drive, server or tree of jobs."""

from collections.abc import Iterable

from ledger.store.seam import Cursor


def version_of(cursor: Cursor, uuid: str) -> int:
    """Return the version of the guard of a drive or server; 0 before the first decision."""
    cursor.execute("SELECT coalesce((SELECT version FROM guards WHERE uuid = ?), 0)", (uuid,))
    return int(cursor.fetchone()[0])


def remove(cursor: Cursor, names: Iterable[str]) -> None:
    """Remove the guards of drives, servers and trees of jobs that are gone for good."""
    cursor.executemany("DELETE FROM guards WHERE uuid = ?", [(name,) for name in names])
