"""Plans a sweep from the read models and the ledger's own streams. Changes nothing."""

from collections.abc import Container, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from ledger.archives import Shelf
from ledger.codec import decode
from ledger.domain.aggregates.housekeeping import Compaction, Sweep
from ledger.domain.events.housekeeping import (
    DiscardedTree,
    JobsDiscarded,
    compaction_stream,
    parking_stream,
    sweep_stream,
)
from ledger.domain.events.jobs import job_stream
from ledger.domain.retention_policy import Departed, Plan, cutoff_at, plan
from ledger.store.seam import Log
from ledger.store.tables.tiles import position_at
from projections.streams import (
    compactions,
    discarded_streams,
    parkings,
    pending_sweeps,
    sweeps,
)
from projections.views.retention import departed, ended_trees


def plan_of(log: Log, keep: timedelta, cutoff: datetime) -> Plan:
    """Return what is due by the cutoff of all that is shown; what is parked stays."""
    cursor = log.cursor()
    parked = {parking.stream for parking in parkings(log) if parking.handling == "parked"}
    trees = ended_trees(cursor, cutoff)
    return plan(
        (tree for tree in trees if parked.isdisjoint(job_stream(job.uuid) for job in tree.jobs)),
        (gone for gone in departed(cursor, cutoff) if gone.stream not in parked),
        old_acts(log),
        keep=keep,
        cutoff=cutoff,
        position=log.last_position(),
    )


def plan_as_of(log: Log, shelf: Shelf, keep: timedelta, moment: datetime) -> Plan:
    """Return what a policy discards at a moment, or would have discarded, of all shown then.

    It includes trees discarded since, if the store or an archive still knows them. At a future
    moment it is what is due by then if nothing else happens. Raise `BadArchive`.
    """
    cutoff = cutoff_at(moment, keep)
    planned = plan_of(log, keep, cutoff)
    since = {
        tree.jobs[0]: tree for tree in _discarded_since(log, shelf, moment) if tree.ended < cutoff
    }
    if not since:
        return planned
    trees = sorted((*planned.trees, *since.values()), key=lambda tree: (tree.ended, tree.jobs))
    return replace(planned, trees=tuple(trees))


def _discarded_since(log: Log, shelf: Shelf, moment: datetime) -> Iterator[DiscardedTree]:
    position = position_at(log.cursor(), moment)
    for tree in shelf.discarded_after(position):
        yield DiscardedTree(tree.owner, tuple(job.uuid for job in tree.jobs), tree.ended)
    for sweep in pending_sweeps(log):
        for found, topic, state in log.stream(sweep_stream(sweep.uuid)):
            discard = decode(topic, state).event
            if found > position and isinstance(discard, JobsDiscarded):
                yield from discard.trees


def old_acts(log: Log) -> Iterator[Departed]:
    """Yield the ledger's own streams that nothing needs any more.

    These are compacted sweeps, all compactions but the newest, and parkings of streams that left.
    """
    done = [compaction for compaction in compactions(log) if compaction.gone is not None]
    compacted = {uuid for compaction in done for uuid in compaction.written.sweeps}
    known = sweeps(log)
    going = discarded_streams(known)
    for act in _finished(log, known, done, compacted):
        if act.stream not in going:  # with a sweep that waits for its archive
            yield act


def _finished(
    log: Log, known: Sequence[Sweep], done: Sequence[Compaction], compacted: Container[str]
) -> Iterator[Departed]:
    swept = {sweep.uuid: sweep.last_modified for sweep in known}
    for uuid, at in swept.items():
        if uuid in compacted:
            yield Departed(sweep_stream(uuid), at)
    for compaction in done[:-1]:
        # Not before its sweeps, whatever the clock did: they would seem not to be compacted.
        ats = [swept[uuid] for uuid in compaction.written.sweeps if uuid in swept]
        at = max([compaction.last_modified, *ats])
        yield Departed(compaction_stream(compaction.uuid), at)
    for parking in parkings(log):
        if not log.stream(parking.stream):
            yield Departed(parking_stream(parking.stream), parking.at)
