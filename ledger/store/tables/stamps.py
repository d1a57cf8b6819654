"""The newest stamp of a ledger, and the faults among its older stamps.

Stamps of this version are the store's, so faults are only of events that were recorded before.
`date_stored` finds them once, when this version first opens a ledger.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import merge
from itertools import chain
from typing import NamedTuple

from ledger.codec import recorded_at
from ledger.domain.errors.store import UnknownEvent
from ledger.domain.stamps import Dating, Fault, StampedEvents, microseconds, moment_of
from ledger.store.log import streamed
from ledger.store.seam import Cursor


def newest_stamp(cursor: Cursor) -> datetime:
    """Return the newest stamp of all events; 1970 before the first."""
    cursor.execute("SELECT latest FROM leaf_count")
    return moment_of(cursor.fetchone()[0])


def stamp_of(state: bytes) -> int | None:
    """Return when an event was recorded, in microseconds; None if it cannot be read."""
    try:
        return microseconds(recorded_at(state))
    except UnknownEvent:
        return None


def dating(cursor: Cursor, first: int, last: int) -> Dating:
    """Return how events from one position to another are dated."""
    return Dating(_faults(cursor, first, last))


def moment_of_fault(position: str) -> str:
    """Return SQL for the moment of the event at `position`, also SQL; NULL if its stamp counts."""
    return (
        f"(SELECT CASE WHEN first <= {position} THEN moment END"  # noqa: S608 - constants
        f" FROM stamp_faults WHERE last >= {position} ORDER BY last LIMIT 1)"
    )


def has_faults(cursor: Cursor, since: datetime) -> bool:
    """Return whether stamps of events since then are faults."""
    cursor.execute("SELECT 1 FROM stamp_faults WHERE moment >= ? LIMIT 1", (microseconds(since),))
    return cursor.fetchone() is not None


def _faults(cursor: Cursor, first: int, last: int) -> list[Fault]:
    cursor.execute(
        "SELECT first, last, moment FROM stamp_faults WHERE last >= ? AND first <= ?"
        " ORDER BY first",
        (first, last),
    )
    return [Fault._make(row) for row in cursor.fetchall()]


def date_stored(cursor: Cursor, now: datetime) -> None:
    """Find the faults among all stored stamps, and date the tiles and the newest event by them."""
    tiles = _tiles(cursor)
    events = StampedEvents(_stamped(cursor, tiles))
    faults = events.faults(microseconds(now))
    latest = events.latest
    cursor.execute("DELETE FROM stamp_faults")
    if faults:
        cursor.executemany("INSERT INTO stamp_faults VALUES (?, ?, ?)", faults)
        latest = _date_tiles(cursor, tiles, events.dated(faults))
    cursor.execute("UPDATE leaf_count SET latest = ?", (latest,))


class _Tile(NamedTuple):
    """The last leaf of a tile, its position, and the latest stamp up to it."""

    leaf_index: int
    position: int
    latest: int


def _tiles(cursor: Cursor) -> list[_Tile]:
    cursor.execute("SELECT leaf_index, position, latest FROM moments ORDER BY leaf_index")
    return [_Tile._make(row) for row in cursor.fetchall()]


def _stamped(cursor: Cursor, tiles: Iterable[_Tile]) -> Iterator[tuple[int, int]]:
    """Yield the position and stamp of all events; of those that are gone, what their tiles tell."""
    ends = ((tile.position, True, tile.latest) for tile in tiles)
    latest = 0
    for position, is_end, stamp in merge(_stored(cursor), ends):
        if stamp > latest or not is_end:
            yield position, stamp
        latest = max(latest, stamp)


def _stored(cursor: Cursor) -> Iterator[tuple[int, bool, int]]:
    for position, state in streamed(
        cursor, "SELECT position, state FROM stored_events ORDER BY position"
    ):
        stamp = stamp_of(state)
        if stamp is not None:
            yield position, False, stamp


def _date_tiles(cursor: Cursor, tiles: Iterable[_Tile], dated: Iterable[tuple[int, int]]) -> int:
    """Correct the latest stamps of tiles; return that of the last event."""
    moments = deque(tiles)
    latest = 0
    for position, moment in chain(dated, [(sys.maxsize, 0)]):
        while moments and moments[0].position < position:
            cursor.execute(
                "UPDATE moments SET latest = ? WHERE leaf_index = ?",
                (latest, moments.popleft().leaf_index),
            )
        latest = max(latest, moment)
    return latest
