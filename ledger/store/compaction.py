"""What a compaction reads and deletes in the store, in its own transactions."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ledger.codec import topics_of
from ledger.domain.aggregates.job import ENDINGS
from ledger.store.log import SELECT_EVENTS
from ledger.store.parameters import among
from ledger.store.postgres.cursor import PgCursor
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.tables.streams import end_position
from ledger.store.tables.tiles import mark_gone
from ledger.store.whole_streams import FIRST

_ENDING_TOPICS = topics_of(ENDINGS)


def positions_of(cursor: Cursor, streams: Sequence[str]) -> Iterator[int]:
    """Yield the positions of all stored events of these streams."""
    sql = "SELECT position FROM stored_events WHERE originator_id IN (...)"
    for (position,) in among(cursor, sql, streams):
        yield position


class Life(NamedTuple):
    """The first event of a job's stream, the one that ended the job, and the last one."""

    first: LoggedEvent
    end: LoggedEvent
    last: LoggedEvent


def life_of(cursor: Cursor, stream: str) -> Life | None:
    """Return the life of a job that has ended; None if its stream is not there."""
    cursor.execute(
        f"{SELECT_EVENTS} WHERE originator_id = ?1 AND (originator_version IN"  # noqa: S608 - constants
        " (1, (SELECT max(originator_version) FROM stored_events WHERE originator_id = ?1))"
        f" OR position = {end_position('?1')}) ORDER BY originator_version",
        (stream,),
    )
    found = [LoggedEvent._make(row) for row in cursor.fetchall()]
    end = next((event for event in found if event.topic in _ENDING_TOPICS), None)
    return Life(found[0], end, found[-1]) if end and found[0].version == FIRST else None


def is_stored(cursor: Cursor, position: int) -> bool:
    """Return whether the event at this position is in the store."""
    cursor.execute("SELECT 1 FROM stored_events WHERE position = ?", (position,))
    return cursor.fetchone() is not None


def events_at(cursor: Cursor, positions: Sequence[int]) -> Iterator[LoggedEvent]:
    """Return the events at these positions, which are sorted."""
    sql = f"{SELECT_EVENTS} WHERE position IN (...) ORDER BY position"
    return map(LoggedEvent._make, among(cursor, sql, positions))


def delete_events(cursor: Cursor, positions: Sequence[int]) -> None:
    """Delete events that are in an archive and in tiles, and mark their leaves as gone."""
    sql = "DELETE FROM stored_events WHERE position IN (...) RETURNING leaf_index"
    mark_gone(cursor, [leaf_index for (leaf_index,) in among(cursor, sql, positions)])


def give_back(cursor: Cursor, pages: int) -> bool:
    """Give free pages of the file back to the file system; return whether more are left.

    PostgreSQL does this itself, by autovacuum.
    """
    if isinstance(cursor, PgCursor):
        return False
    cursor.execute(f"PRAGMA incremental_vacuum({pages:d})")
    cursor.fetchall()
    cursor.execute("PRAGMA freelist_count")
    return int(cursor.fetchone()[0]) > 0
