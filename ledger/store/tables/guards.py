"""The table of guards: how often something was decided that rests on a drive or server."""

from collections.abc import Iterable

from ledger.store.seam import Cursor


def version_of(cursor: Cursor, uuid: str) -> int:
    """The version of the guard of a drive or server; 0 before anything was decided."""
    cursor.execute("SELECT coalesce((SELECT version FROM guards WHERE uuid = ?), 0)", (uuid,))
    return int(cursor.fetchone()[0])


def remove(cursor: Cursor, uuids: Iterable[str]) -> None:
    """Remove the guards of drives and servers that are gone for good."""
    cursor.executemany("DELETE FROM guards WHERE uuid = ?", [(uuid,) for uuid in uuids])
