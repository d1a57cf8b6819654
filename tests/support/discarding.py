"""Trees of jobs that are discarded, and events that go into an archive, by hand."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.application import Ledger
from ledger.codec import encode
from ledger.events import DiscardedTree, JobsDiscarded, Recorded, job_stream, sweep_stream
from ledger.job import Job
from ledger.store.seam import Batch, Cursor, LoggedEvent, RowKey
from ledger.store.streams import stream_events
from projections.rows import rows
from projections.time_travel.archived import GoneTree
from projections.views.families import family
from projections.views.reading import SqliteViews
from projections.views.snapshot import Snapshot
from tests.support.opened import Opened, behind_its_back

KEEP = timedelta(days=3)


class Discard(NamedTuple):
    """What one event has discarded: trees, and streams of deleted drives and servers."""

    trees: list[GoneTree]
    others: tuple[str, ...]

    @property
    def streams(self) -> list[str]:
        return [job_stream(job) for tree in self.trees for job in tree.jobs] + list(self.others)


def discard(
    ledger: Ledger,
    views: SqliteViews,
    sweep: str,
    roots: Sequence[str],
    *,
    at: datetime,
    others: Sequence[str] = (),
) -> Discard:
    """What a sweep does: one event tells what is discarded, and the rows of that go with it."""
    with views.snapshot() as snapshot:
        trees = [_tree(snapshot, root) for root in roots]
    drops = [key for tree in trees for job in tree.jobs for key in _rows_of(ledger, job)]
    drops += [("departed", (stream,)) for stream in others]
    event = JobsDiscarded(KEEP, at, tuple(trees), tuple(others), last=True)
    stored = encode(sweep_stream(sweep), 1, Recorded(at, "system", "", event))
    position = ledger._store.append(Batch([stored], [], {}, drops, []))
    ledger.exclusive(_nothing).result()  # so that what is remembered is forgotten
    return Discard([GoneTree(tree.owner, tree.jobs, position) for tree in trees], tuple(others))


def _tree(snapshot: Snapshot, root: str) -> DiscardedTree:
    jobs = sorted(family(snapshot, root), key=lambda row: row.parent is not None)
    assert all(row.state != "started" for row in jobs)
    ended = max(datetime.fromisoformat(row.last_modified) for row in jobs)
    return DiscardedTree(jobs[0].owner, tuple(row.uuid for row in jobs), ended)


def _nothing(_: Cursor) -> None:
    pass


def _rows_of(ledger: Ledger, uuid: str) -> Iterable[RowKey]:
    job = ledger.current(job_stream(uuid))
    assert isinstance(job, Job)
    return rows(job)


class HeldArchive:
    """An `Archived` that holds streams in memory."""

    def __init__(self) -> None:
        self.gone: list[GoneTree] = []
        self.streams: dict[str, list[LoggedEvent]] = {}

    def take(self, opened: Opened, discarded: Discard) -> None:
        """Takes over the events of what was discarded; the store has them still."""
        with opened.ledger.log() as log:
            for name in discarded.streams:
                self.streams[name] = stream_events(log.cursor(), name)
        self.gone += discarded.trees

    def stream(self, name: str) -> list[LoggedEvent] | None:
        return self.streams.get(name)

    def trees(self, owner: str, position: int) -> Sequence[GoneTree]:
        return [
            tree
            for tree in self.gone
            if tree.owner == owner
            and self.streams[job_stream(tree.jobs[0])][0].position <= position < tree.discarded
        ]

    def tree_of(self, job: str) -> GoneTree | None:
        return next((tree for tree in self.gone if job in tree.jobs), None)


def delete_events(
    opened: Opened, streams: Iterable[str], which: Callable[[int], bool] = lambda _: True
) -> None:
    """Deletes the events of these streams from the store, or those of them at some positions."""
    with behind_its_back(opened.file) as connection:
        for stream in streams:
            _delete(connection, stream, which)


def _delete(connection: sqlite3.Connection, stream: str, which: Callable[[int], bool]) -> None:
    positions = connection.execute(
        "SELECT position FROM stored_events WHERE originator_id = ?", (stream,)
    ).fetchall()
    connection.executemany(
        "DELETE FROM stored_events WHERE position = ?",
        [(position,) for (position,) in positions if which(position)],
    )
