"""Which streams are there: those, and only those, whose version 1 is in the store.

A compaction deletes events in the order of their positions, some at a time. So each stream is gone
as soon as its first event is, and what is left of it for a while is its *tail*: bytes that are
still leaves of the tree, and that nothing folds. Everything that reads events by stream reads them
through `whole`, or asks for version 1. No stream begins anew over a tail, which would become part
of it: to the store, that is a `Conflict`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from eventsourcing.persistence import StoredEvent

from ledger.store.seam import Cursor

R = TypeVar("R", bound=tuple[Any, ...])

FIRST = 1
"""The version of the event that begins a stream."""


def whole(rows: Iterable[R]) -> Iterator[R]:
    """Yield the rows of the streams that are there, without tails.

    The rows are (stream, version, ...), in this order.
    """
    there = None
    for row in rows:
        if row[1] == FIRST:
            there = row[0]
        if row[0] == there:
            yield row


def beginnings(events: Iterable[StoredEvent]) -> list[str]:
    """Return the streams that begin with one of these events."""
    return [str(event.originator_id) for event in events if event.originator_version == FIRST]


def tails(cursor: Cursor) -> list[str]:
    """Return the streams of which only a tail is left, sorted by name; reads a whole index."""
    cursor.execute(
        "SELECT originator_id FROM stored_events GROUP BY originator_id"
        " HAVING min(originator_version) > ? ORDER BY originator_id",
        (FIRST,),
    )
    return [stream for (stream,) in cursor.fetchall()]
