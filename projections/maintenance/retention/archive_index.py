"""The index of an archive: what it says about its trees, so that they are found without events."""

from collections.abc import Iterator
from functools import partial

from ledger.application import Ledger
from ledger.archives import ArchivedJob, ArchivedTree
from ledger.codec import decode, recorded_at
from ledger.domain.aggregates.housekeeping import Sweep
from ledger.domain.aggregates.job import ENDINGS
from ledger.domain.errors.store import UnknownEvent
from ledger.domain.events.housekeeping import DiscardedTree, JobsDiscarded, sweep_stream
from ledger.domain.events.jobs import (
    JobCreated,
    job_stream,
)
from ledger.store.compaction import life_of
from ledger.store.seam import Cursor


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
    """Return the entry of a job that has ended; three of its events say all that is needed."""
    life = life_of(cursor, job_stream(uuid))
    if life is None:
        raise UnknownEvent(f"job {uuid} is not there, or has not ended")
    created, ended = (decode(event.topic, event.state) for event in (life.first, life.end))
    if not isinstance(created.event, JobCreated):
        raise UnknownEvent(f"job {uuid} begins with {life.first.topic}")
    return ArchivedJob(
        uuid,
        life.first.position,
        life.last.position,
        created.recorded_at,
        recorded_at(life.last.state),
        created.event.parent,
        ENDINGS[type(ended.event)],
        ended.recorded_at,
    )
