"""What a compaction reads and deletes in the store; `Cursor`s come from its own transactions."""

import json
from collections.abc import Iterable, Iterator, Sequence

from ledger.slicing import sliced
from ledger.store.seam import Cursor, LoggedEvent

ASKED_FOR = 500
"""Streams or positions in one statement."""


def places_of(cursor: Cursor, streams: Sequence[str]) -> list[tuple[int, int]]:
    """(position, leaf index) of every event of these streams that is in the store, in order."""
    places: list[tuple[int, int]] = []
    for some in sliced(streams, ASKED_FOR):
        cursor.execute(
            "SELECT position, leaf_index FROM stored_events"
            " WHERE originator_id IN (SELECT value FROM json_each(?))",
            (json.dumps(some),),
        )
        places += cursor.fetchall()
    return sorted(places)


def events_at(cursor: Cursor, positions: Sequence[int]) -> Iterator[LoggedEvent]:
    """The events at these positions, which are in order."""
    for some in sliced(positions, ASKED_FOR):
        cursor.execute(
            "SELECT position, leaf_index, originator_id, originator_version, topic, state, leaf"
            " FROM stored_events WHERE position IN (SELECT value FROM json_each(?))"
            " ORDER BY position",
            (json.dumps(some),),
        )
        yield from map(LoggedEvent._make, cursor.fetchall())


def delete_events(cursor: Cursor, positions: Iterable[int]) -> None:
    """Deletes events that are in an archive."""
    cursor.executemany(
        "DELETE FROM stored_events WHERE position = ?", [(position,) for position in positions]
    )


def delete_guards(cursor: Cursor, uuids: Iterable[str]) -> None:
    """Deletes the guards of drives and servers that are gone for good."""
    cursor.executemany("DELETE FROM guards WHERE uuid = ?", [(uuid,) for uuid in uuids])


def give_back(cursor: Cursor, pages: int) -> bool:
    """Gives some of the file's free pages back to the file system; says whether more are left."""
    cursor.execute(f"PRAGMA incremental_vacuum({pages:d})")
    cursor.fetchall()
    cursor.execute("PRAGMA freelist_count")
    return int(cursor.fetchone()[0]) > 0
