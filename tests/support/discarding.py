"""Discarding what is over, and moving its events to an archive, step by step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from ledger.acts import Sweep
from ledger.application import Ledger
from ledger.archives import ArchivedJob, ArchivedTree, write_archive
from ledger.codec import decode
from ledger.events import DiscardedTree, Ending, JobsDiscarded, job_stream, sweep_stream
from ledger.job import Job
from ledger.store.seam import Log
from ledger.store.streams import spans, stream_events
from projections.retention.planning import plan_of
from projections.retention.sweeping import sweep
from projections.streams import folded
from tests.support.opened import Opened, behind_its_back

AT_ONCE = timedelta(0)
"""The policy by which all that is over is due."""


def discard(ledger: Ledger, uuid: str, cutoff: datetime) -> bool:
    """Sweeps what ended before this, under a policy of `AT_ONCE`; whether there was anything."""
    with ledger.log() as log:
        plan = plan_of(log, AT_ONCE, cutoff)
    sweep(ledger, plan, lambda: uuid)
    return bool(plan)


def archive(ledger: Ledger, directory: Path, name: str, swept: Iterable[str]) -> list[str]:
    """Writes all events of what these sweeps discarded; the store has them still.

    Returns the names of the streams.
    """
    with ledger.log() as log:
        sweeps = [cast(Sweep, folded(log, sweep_stream(uuid))) for uuid in swept]
        streams = [stream for each in sweeps for stream in each.streams()]
        events = [event for stream in streams for event in stream_events(log.cursor(), stream)]
        trees = [tree for each in sweeps for tree in _archived(log, each)]
    directory.mkdir(exist_ok=True)
    write_archive(directory, name, sorted(events), trees)
    return streams


def _archived(log: Log, swept: Sweep) -> Iterator[ArchivedTree]:
    for position, topic, state in log.stream(sweep_stream(swept.uuid)):
        event = decode(topic, state).event
        assert isinstance(event, JobsDiscarded)
        for tree in event.trees:
            yield ArchivedTree(tree.owner, tuple(_jobs(log, tree)), tree.ended, position)


def _jobs(log: Log, tree: DiscardedTree) -> Iterator[ArchivedJob]:
    where = spans(log.cursor(), [job_stream(uuid) for uuid in tree.jobs])
    for uuid in tree.jobs:
        job = folded(log, job_stream(uuid))
        assert isinstance(job, Job)
        times = job.created, job.last_modified
        ending = cast(Ending, job.state)
        yield ArchivedJob(uuid, *where[job_stream(uuid)], *times, job.parent, ending)


def delete_events(
    opened: Opened, streams: Sequence[str], which: Callable[[int], bool] = lambda _: True
) -> None:
    """Deletes the events of these streams from the store, or those of them at some positions."""
    with behind_its_back(opened.file) as connection:
        for stream in streams:
            positions = connection.execute(
                "SELECT position FROM stored_events WHERE originator_id = ?", (stream,)
            ).fetchall()
            connection.executemany(
                "DELETE FROM stored_events WHERE position = ?",
                [(position,) for (position,) in positions if which(position)],
            )
