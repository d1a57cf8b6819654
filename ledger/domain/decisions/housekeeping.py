"""The ledger's own acts: policies, sweeps, compactions, restores and parked streams.

What is due is planned from the read models; these decisions check it against the record.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from ledger.domain.aggregates.housekeeping import (
    Compaction,
    Parking,
    Policy,
    Restoration,
    Sweep,
    Terms,
)
from ledger.domain.aggregates.job import Job
from ledger.domain.commands.housekeeping import (
    DiscardJobs,
    ParkStream,
    RecordArchive,
    RecordCompaction,
    RecordRestore,
    ReleaseStream,
    SetRetention,
)
from ledger.domain.context import Change, Discarded, Environment, Fact, State
from ledger.domain.errors.housekeeping import (
    KeepLastOutOfRange,
    KeepOutOfRange,
    NotDue,
    NotParked,
    NotReleased,
    TreeChanged,
)
from ledger.domain.events.housekeeping import (
    POLICY_STREAM,
    DiscardedTree,
    JobsDiscarded,
    LedgerCompacted,
    LedgerRestored,
    RetentionPolicySet,
    StreamParked,
    StreamReleased,
    compaction_stream,
    parking_stream,
    restoration_stream,
    sweep_stream,
)
from ledger.domain.events.jobs import job_stream

KEEP_MOST = timedelta(days=36_525)
KEEP_LAST_MOST = 1_000
"""Jobs of a series: each plan counts them."""


def set_retention(
    command: SetRetention, state: State, environment: Environment
) -> Iterator[Change]:
    """Set how long jobs are kept. Raise `KeepOutOfRange`, `KeepLastOutOfRange`."""
    policy = state.act(Policy, POLICY_STREAM) or Policy()
    held = policy.terms(state.now)
    keep_last = held.keep_last if command.keep_last is None else command.keep_last
    if not timedelta(0) <= command.keep <= KEEP_MOST:
        raise KeepOutOfRange(KEEP_MOST)
    if not 0 <= keep_last <= KEEP_LAST_MOST:
        raise KeepLastOutOfRange(KEEP_LAST_MOST)
    if not policy.history or held != (command.keep, keep_last):
        yield Fact(POLICY_STREAM, RetentionPolicySet(command.keep, state.now, keep_last))


def discard_jobs(command: DiscardJobs, state: State, environment: Environment) -> Iterator[Change]:
    """Discard trees of jobs and other streams. Raise `NotDue`, `NotReleased`, `TreeChanged`."""
    policy = state.act(Policy, POLICY_STREAM) or Policy()
    terms = policy.terms(state.now)
    planned_by = Terms(command.keep, command.keep_last)
    if terms != planned_by or command.cutoff > state.now - terms.keep:
        raise NotDue(f"what ended at {command.cutoff}", terms.keep)
    stream = sweep_stream(command.sweep)
    sweep = state.act(Sweep, stream)
    assert sweep is None or not sweep.complete, f"{stream} is over"
    for unread in command.unread:
        _require_skipped(unread, state)
    for tree, guard in zip(command.trees, command.guards, strict=True):
        if state.guard(tree.jobs[0]) != guard:
            raise TreeChanged(tree.jobs[0])
        _require_due(tree, command, state)
    event = JobsDiscarded(
        command.keep,
        command.cutoff,
        command.planned_at,
        command.trees,
        command.streams,
        command.last,
    )
    yield Fact(stream, event)
    jobs = tuple(stream for tree in command.trees for stream in tree.streams())
    owners = {job: owner for tree in command.trees for job, owner in _owners(tree, command, state)}
    yield Discarded(jobs + command.streams, command.rows, owners)


def _owners(tree: DiscardedTree, command: DiscardJobs, state: State) -> Iterator[tuple[str, str]]:
    """Yield the jobs of a tree with their owner, who is the same of all, if one can be read."""
    read = (job for job in tree.jobs if job_stream(job) not in command.unread)
    one = next(filter(None, map(state.job, read)), None)
    if one is not None:
        yield from ((job, one.owner) for job in tree.jobs)


def _require_due(tree: DiscardedTree, command: DiscardJobs, state: State) -> None:
    """Raise `NotDue` unless these are all jobs of a tree, and the last ended before the cutoff.

    Nor is a tree due twice.

    A root may end before jobs below it. A job that cannot be read has ended if its rows say so, and
    nothing tells what is below it.
    """
    read = [uuid for uuid in tree.jobs if job_stream(uuid) not in command.unread]
    jobs = [job for job in map(state.job, read) if job is not None]
    known = len(jobs) == len(read) and _are_of_one_tree(jobs, tree)
    whole = len(read) < len(tree.jobs) or sum(len(job.children) for job in jobs) == len(jobs) - 1
    ended = all(job.ended is not None for job in jobs)
    over = state.is_spent(tree.jobs[0])
    if over or not (known and whole and ended) or tree.ended >= command.cutoff:
        raise NotDue(f"job {tree.jobs[0]}", command.keep)


def _are_of_one_tree(jobs: Sequence[Job], tree: DiscardedTree) -> bool:
    """Whether each is below another, except the first of the tree, which is the root.

    If together they have as many children as there are jobs besides the root, no others are below
    them.
    """
    root, named = tree.jobs[0], set(tree.jobs)
    return len(named) == len(tree.jobs) and all(
        job.root == root and (job.parent in named if job.uuid != root else job.parent is None)
        for job in jobs
    )


def _require_skipped(stream: str, state: State) -> None:
    parking = state.act(Parking, parking_stream(stream))
    if parking is None or parking.handling != "skip":
        raise NotReleased(stream)


def record_archive(
    command: RecordArchive, state: State, environment: Environment
) -> Iterator[Change]:
    """Record the archive of sweeps that are over, whether completed or broken off."""
    for uuid in command.written.sweeps:
        assert state.act(Sweep, sweep_stream(uuid)) is not None, f"there is no sweep {uuid}"
    yield Fact(compaction_stream(command.compaction), command.written)


def record_compaction(
    command: RecordCompaction, state: State, environment: Environment
) -> Iterator[Change]:
    """Record a compaction, once for each archive."""
    stream = compaction_stream(command.compaction)
    compaction = state.act(Compaction, stream)
    assert compaction is not None, f"{stream} has no archive"
    assert compaction.gone is None, f"{stream} is over"
    yield Fact(stream, LedgerCompacted(command.gone))


def record_restore(
    command: RecordRestore, state: State, environment: Environment
) -> Iterator[Change]:
    """Record a restore, once, before anything else is recorded in the restored ledger."""
    stream = restoration_stream(command.restoration)
    assert state.act(Restoration, stream) is None, f"{stream} is recorded"
    yield Fact(stream, LedgerRestored(command.epoch, command.checkpoint))


def park_stream(command: ParkStream, state: State, environment: Environment) -> Iterator[Change]:
    """Park a stream; if it is parked already, nothing is recorded."""
    stream = parking_stream(command.stream)
    parking = state.act(Parking, stream)
    if parking is None or parking.handling != "parked":
        yield Fact(stream, StreamParked(command.stream, command.reader, command.reason))


def release_stream(
    command: ReleaseStream, state: State, environment: Environment
) -> Iterator[Change]:
    """Release a parked stream. Raise `NotParked`."""
    stream = parking_stream(command.stream)
    parking = state.act(Parking, stream)
    if parking is None or parking.handling != "parked":
        raise NotParked(command.stream)
    yield Fact(stream, StreamReleased(command.skip))
