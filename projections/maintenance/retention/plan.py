"""Plans a sweep from the read models and the ledger's own streams. Changes nothing."""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from ledger.archives import Shelf
from ledger.codec import decode
from ledger.domain.aggregates.housekeeping import Compaction, Sweep, Terms
from ledger.domain.events.housekeeping import (
    DiscardedTree,
    JobsDiscarded,
    compaction_stream,
    parking_stream,
    sweep_stream,
)
from ledger.domain.events.jobs import job_stream
from ledger.domain.retention_policy import Departed, Plan, cutoff_at, plan
from ledger.store.seam import Cursor, Log
from ledger.store.tables.tiles import position_at
from projections.streams import (
    compactions,
    discarded_streams,
    parkings,
    pending_sweeps,
    sweeps,
)
from projections.views.retention import BEGINNING, Key, departed, ended_trees, floors_of

T = TypeVar("T")

OpenLog = Callable[[], AbstractContextManager[Log]]
"""Opens the log as of now."""


def plan_of(open_log: OpenLog, terms: Terms, cutoff: datetime) -> Plan:
    """Return what is due by the cutoff of all that is shown; what is parked stays.

    It is read from one snapshot after another: a plan may be so large that a single one would keep
    the log of a file from starting over. What is over stays as it is, so none of it is missed.
    """
    with open_log() as log:
        parked = {parking.stream for parking in parkings(log) if parking.handling == "parked"}
        acts, position = list(old_acts(log)), log.last_position()
        reached = position_at(log.cursor(), cutoff)
        floors = floors_of(log.cursor())
    ended = partial(ended_trees, cutoff=cutoff, reached=reached, terms=terms, floors=floors)
    trees = _walk(open_log, ended)
    gone = _walk(open_log, partial(departed, cutoff=cutoff, reached=reached))
    return plan(
        (tree for tree in trees if parked.isdisjoint(job_stream(job.uuid) for job in tree.jobs)),
        (each for each in gone if each.stream not in parked),
        acts,
        terms=terms,
        cutoff=cutoff,
        position=position,
    )


def _walk(
    open_log: OpenLog, page: Callable[[Cursor, Key], tuple[list[T], Key | None]]
) -> Iterator[T]:
    """Yield what is on all pages, each of which is read from a snapshot of its own."""
    after: Key | None = BEGINNING
    while after is not None:
        with open_log() as log:
            found, after = page(log.cursor(), after)
        yield from found


def plan_as_of(open_log: OpenLog, shelf: Shelf, terms: Terms, moment: datetime) -> Plan:
    """Return what a policy discards at a moment, or would have discarded, of all shown then.

    It includes trees discarded since, if the store or an archive still knows them; which series
    they were of is not looked up. At a future moment it is what is due by then if nothing else
    happens. Raise `BadArchive`.
    """
    cutoff = cutoff_at(moment, terms.keep)
    planned = plan_of(open_log, terms, cutoff)
    with open_log() as log:
        since = [tree for tree in _discarded_since(log, shelf, moment) if tree.ended < cutoff]
    if not since:
        return planned
    # A tree that is discarded just now may be among both.
    by_root = {tree.jobs[0]: tree for tree in (*planned.trees, *since)}
    trees = sorted(by_root.values(), key=lambda tree: (tree.ended, tree.jobs))
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
