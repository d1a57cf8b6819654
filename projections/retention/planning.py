"""From the read models and the ledger's own acts to the plan of a sweep. Changes nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from ledger.acts import Compaction, Policy, Sweep
from ledger.events import POLICY_STREAM, compaction_stream, sweep_stream
from ledger.retention import Departed, Plan, plan
from ledger.store.seam import Log
from projections.streams import folded, sweeps
from projections.views.sweeping import departed, ended_trees


def plan_of(log: Log, keep: timedelta, cutoff: datetime) -> Plan:
    """What is due by the cutoff, of all that is shown."""
    cursor = log.cursor()
    return plan(
        ended_trees(cursor, cutoff),
        departed(cursor, cutoff),
        old_acts(log),
        keep=keep,
        cutoff=cutoff,
        position=log.last_position(),
    )


def policy_of(log: Log) -> Policy:
    """The retention policies that were set."""
    state = folded(log, POLICY_STREAM)
    assert state is None or isinstance(state, Policy)
    return state or Policy()


def compactions(log: Log) -> list[Compaction]:
    """All compactions that are in the store, oldest first."""
    states = [folded(log, stream) for stream in log.streams_of("compaction")]
    found = [state for state in states if isinstance(state, Compaction)]
    return sorted(found, key=lambda compaction: compaction.written.last)


def old_acts(log: Log) -> Iterator[Departed]:
    """Acts that nothing rests on any more: compacted sweeps, and compactions but the newest."""
    done = [compaction for compaction in compactions(log) if compaction.gone is not None]
    compacted = {uuid for compaction in done for uuid in compaction.written.sweeps}
    for sweep in sweeps(log):
        if sweep.uuid in compacted:
            yield Departed(sweep_stream(sweep.uuid), sweep.last_modified)
    for compaction in done[:-1]:
        yield Departed(compaction_stream(compaction.uuid), compaction.last_modified)


def pending(log: Log) -> list[Sweep]:
    """The sweeps whose events are in no archive yet; one that was broken off is among them."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return [sweep for sweep in sweeps(log) if sweep.uuid not in archived]
