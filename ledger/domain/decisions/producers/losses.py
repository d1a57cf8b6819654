"""Attempts that are lost, and return; jobs that are abandoned."""

from collections.abc import Iterator

from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.producers.ends import record_end, seen_of, working_below
from ledger.domain.decisions.producers.facts import fact
from ledger.domain.decisions.producers.lookup import (
    check_attempt,
    known_job,
    running_job,
    working_job,
)
from ledger.domain.events.jobs import JobAttemptLost, JobFailed
from ledger.domain.events.producers import JobAttemptReturned
from ledger.domain.producers.commands import AbandonJob, LoseProducer, ReturnAttempt
from ledger.domain.producers.leases import awaited_again, expected, lost
from ledger.domain.producers.progress import percent

LOSSES_TOLD = 10
"""Losses of an attempt that become events; a line that keeps failing must not fill its history."""


LOOK_AGAIN_S = 3600.0
"""After so long at the most, a lost job is looked at again above one on which somebody works."""


def is_lost(state: State, job: Job, produced: Produced) -> bool:
    """Return whether the attempt is lost, and rest on it if no event says so."""
    if job.lost or produced.losses < LOSSES_TOLD:
        return job.lost
    lease = state.lease(job.uuid)
    return lease is not None and lease.awaits == "return" and state.is_due(job.uuid, lease.due)


def return_attempt(
    command: ReturnAttempt, state: State, environment: Environment
) -> Iterator[Change]:
    yield from record_return(state, command.job, command.attempt)
    job, produced = known_job(state, command.job)
    if produced.losses >= LOSSES_TOLD:  # its last loss may be in no event
        yield expected(job, produced, state.now)


def record_return(state: State, uuid: str, attempt: int) -> Iterator[Change]:
    """Record the return of an attempt that is lost; whoever abandons a job above it hears of it."""
    job = working_job(state, uuid, attempt)
    if job.parent is not None and (job.lost or losses_of(job) >= LOSSES_TOLD):
        state.guard(job.root)
    if job.lost:
        yield fact(uuid, JobAttemptReturned(attempt))


def losses_of(job: Job) -> int:
    return 0 if job.produced is None else job.produced.losses


def lose_producer(
    command: LoseProducer, state: State, environment: Environment
) -> Iterator[Change]:
    """Record a loss once, and only the first ones of an attempt; a report takes it back."""
    job = working_job(state, command.job, command.attempt)
    _, produced = known_job(state, command.job)
    if not is_due(state, command):
        return
    last = command.last
    if last is not None:
        check_attempt(job, last.attempt)
        last = replace(last, percent=percent(last, produced.shown))
    if not job.lost and produced.losses < LOSSES_TOLD:
        yield fact(job.uuid, JobAttemptLost(command.attempt, last))
    elif not job.lost and command.due is not None:
        yield lost(job, produced, state.now)


def is_due(state: State, command: LoseProducer | AbandonJob) -> bool:
    """Return whether nothing was heard of the job, as far as the caller goes by that."""
    return command.due is None or state.is_due(command.job, command.due)


def abandon_job(command: AbandonJob, state: State, environment: Environment) -> Iterator[Change]:
    """End a job from which nothing is expected any more, unless there is news of it.

    It stays while somebody works on one below it.
    """
    job, produced = running_job(state, command.job)
    if command.attempt != job.attempt or not is_due(state, command):
        return
    if produced.queued:
        yield from record_end(state, job.uuid, JobFailed("nobody took it up", "expired", state.now))
        return
    if produced.is_group:
        can_be, error = not produced.sealed, seen_of(job, produced) or "nobody sealed it"
    else:
        can_be, error = job.lost or _is_lost_unrecorded(produced), "its producer fell silent"
    if can_be and working_below(state, job):
        yield awaited_again(job, produced, state.now, _look_again_s(produced))
    elif can_be:
        yield from record_end(state, job.uuid, abandoned(error))


def _look_again_s(produced: Produced) -> float:
    return min(produced.registered.limits.abandon_after_s / 10, LOOK_AGAIN_S)


def _is_lost_unrecorded(produced: Produced) -> bool:
    """Whether only the caller can know that the attempt is lost: no event would say so."""
    return produced.losses >= LOSSES_TOLD or produced.registered.limits.lease_s is None


def abandoned(error: str) -> JobFailed:
    return JobFailed(error, "lost")
