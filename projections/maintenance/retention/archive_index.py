"""The index of an archive: what it says about its trees, so that they are found without events."""

from collections.abc import Iterator
from functools import partial

from ledger.application import Ledger
from ledger.archives import ArchivedJob, ArchivedTree
from ledger.codec import decode
from ledger.domain.aggregates.housekeeping import Sweep
from ledger.domain.errors.store import UnknownEvent
from ledger.domain.events.housekeeping import DiscardedTree, JobsDiscarded, sweep_stream
from ledger.domain.events.jobs import (
    Ending,
    JobCancelled,
    JobCreated,
    JobFailed,
    JobSucceeded,
    job_stream,
)
from ledger.store.compaction import ends_of
from ledger.store.seam import Cursor

_ENDINGS: dict[type, Ending] = {
    JobSucceeded: "success",
    JobFailed: "failed",
    JobCancelled: "cancelled",
}


def archived_trees(ledger: Ledger, sweep: Sweep) -> Iterator[ArchivedTree]:
    """Yield the trees that a sweep discarded, except those with an event that cannot be read.

    Each is read by itself: nobody else deletes its events.
    """
    with ledger.log() as log:
        discards = log.stream(sweep_stream(sweep.uuid))
    for position, topic, state in discards:
        discard = decode(topic, state).event
        assert isinstance(discard, JobsDiscarded), topic
        for tree in discard.trees:
            jobs = ledger.read(partial(_jobs, tree=tree))
            if jobs is not None:
                yield ArchivedTree(tree.owner, jobs, tree.ended, position)


def _jobs(cursor: Cursor, tree: DiscardedTree) -> tuple[ArchivedJob, ...] | None:
    try:
        return tuple(_job(cursor, uuid) for uuid in tree.jobs)
    except UnknownEvent:
        return None


def _job(cursor: Cursor, uuid: str) -> ArchivedJob:
    """Return the entry of a job that has ended; its first and last event say all that is needed."""
    ends = ends_of(cursor, job_stream(uuid))
    if ends is None:
        raise UnknownEvent(f"job {uuid} is not there")
    first, last = ends
    created, ended = decode(first.topic, first.state), decode(last.topic, last.state)
    if not isinstance(created.event, JobCreated) or type(ended.event) not in _ENDINGS:
        raise UnknownEvent(f"job {uuid} goes from {first.topic} to {last.topic}")
    return ArchivedJob(
        uuid,
        first.position,
        last.position,
        created.recorded_at,
        ended.recorded_at,
        created.event.parent,
        _ENDINGS[type(ended.event)],
    )
