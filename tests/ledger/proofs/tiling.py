"""Ledgers of many small events, and what there is about their leaves."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from ledger.codec import encode
from ledger.domain.events import Recorded
from ledger.domain.events.drives import DriveReady
from ledger.store.seam import Batch, Cursor
from ledger.store.tables.tiles import mark_gone
from tests.support.opened import Opened
from tests.support.world import START


def record(opened: Opened, stamps: Iterable[datetime]) -> None:
    """One event for each stamp, of whatever kind, straight into the store."""
    with opened.ledger.log() as log:
        first = log.leaf_count()
    events = [
        encode(f"drive-{nth:06}", 1, Recorded(at, "test", "", DriveReady()))
        for nth, at in enumerate(stamps, first)
    ]
    opened.store.append(Batch(events, (), {}, (), ()))


def record_many(opened: Opened, count: int) -> None:
    """So many events, a second apart."""
    with opened.ledger.log() as log:
        first = log.leaf_count()
    record(opened, (second(nth) for nth in range(first, first + count)))


def second(nth: int) -> datetime:
    """When the event of leaf `nth` is recorded by `record_many`."""
    return START + timedelta(seconds=nth)


def leaves_of(opened: Opened) -> list[bytes]:
    """The leaf hashes of the events that are there."""
    with opened.ledger.log() as log:
        return [event.leaf for event in log.events()]


def compact(opened: Opened, leaf_indexes: Iterable[int]) -> None:
    """Deletes these events and marks their leaves, as a compaction does."""
    opened.ledger.exclusive(partial(delete, leaf_indexes=list(leaf_indexes))).result()


def delete(cursor: Cursor, leaf_indexes: list[int]) -> None:
    mark_gone(cursor, leaf_indexes)
    cursor.executemany(
        "DELETE FROM stored_events WHERE leaf_index = ?", [(index,) for index in leaf_indexes]
    )
