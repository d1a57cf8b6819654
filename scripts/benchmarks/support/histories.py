"""Ledgers of many long clones, written as fast as the store can."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain, zip_longest
from pathlib import Path

from api.service.ids import new_id
from ledger.codec import encode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveCreated, DriveDefinition, DriveReady, drive_stream
from ledger.domain.events.jobs import (
    JobAttemptStarted,
    JobCreated,
    JobSucceeded,
    ProgressUpdated,
    Resource,
    job_stream,
)
from ledger.store.seam import Batch, Row, RowKey, Store
from ledger.store.sqlite.store import SqliteStore
from projections.audit_log import entries
from projections.rows import rows
from projections.views.generations import InlineProjection
from scripts.benchmarks.support.scale import GIB

OWNER = "benchmark"
AT_ONCE = 64
"""Clones that run at the same time, so that their events are interleaved."""
AROUND_PROGRESS = 3
"""Events of a job other than progress: it is created, started, and succeeds."""

History = list[tuple[str, Event]]


def make_ledger(file: Path, events: int, each: int) -> int:
    """Make a ledger of about this many events, `each` for a job; return how many."""
    with closing(SqliteStore(file, InlineProjection())) as store:
        return fill(store, events, each)


def fill(store: Store, events: int, each: int) -> int:
    """Do the same in an empty store."""
    written = 0
    clock = iter(_seconds())
    while written < events:
        written += _append(store, [_clone(each) for _ in range(AT_ONCE)], clock)
    return written


def _append(store: Store, clones: list[History], clock: Iterator[datetime]) -> int:
    states: dict[str, Aggregate | None] = {}
    versions: dict[str, int] = {}
    stored = []
    puts: dict[RowKey, Row] = {}
    for stream, event in filter(None, chain.from_iterable(zip_longest(*clones))):
        recorded = Recorded(next(clock), "worker:benchmark", "", event)
        states[stream] = evolve(states.get(stream), stream, recorded)
        versions[stream] = versions.get(stream, 0) + 1
        stored.append(encode(stream, versions[stream], recorded))
        puts |= entries(stream, versions[stream], recorded, OWNER)
    for state in states.values():
        puts |= rows(state)
    store.append(Batch(stored, (), puts, (), ()))
    return len(stored)


def _clone(each: int) -> History:
    """Return the clone of a drive: the job's stream, and the two events of its new drive."""
    job, source, destination = new_id(), new_id(), new_id()
    resources = (
        Resource("drives", source, "source"),
        Resource("drives", destination, "destination"),
    )
    definition = DriveDefinition("disk of a benchmark", "disk", 100 * GIB, "dssd")
    steps = each - AROUND_PROGRESS
    jobs: list[Event] = [
        JobCreated("drive_clone", OWNER, resources, job),
        JobAttemptStarted(1, "worker:benchmark"),
        *(_progress(step, steps) for step in range(1, steps + 1)),
        JobSucceeded(),
    ]
    return [
        (drive_stream(destination), DriveCreated(OWNER, definition, "main", "clone")),
        *((job_stream(job), event) for event in jobs),
        (drive_stream(destination), DriveReady()),
    ]


def _progress(step: int, steps: int) -> Event:
    total = 100 * GIB
    done = total * step // steps
    return ProgressUpdated(1, min(99, step * 100 // steps), done, total, done)


def _seconds() -> Iterator[datetime]:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    while True:
        yield moment
        moment += timedelta(milliseconds=10)
