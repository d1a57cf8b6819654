"""Taking jobs of producers up, and reporting on them."""

from collections.abc import Iterator

from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.producers.ancestors import rest_on_those_above
from ledger.domain.decisions.producers.ends import check_reason
from ledger.domain.decisions.producers.facts import fact_told, new_attempt
from ledger.domain.decisions.producers.lookup import (
    check_attempt,
    instance_of,
    known_job,
    running_job,
    working_job,
)
from ledger.domain.decisions.producers.losses import is_lost, record_return
from ledger.domain.errors import producers as errors
from ledger.domain.producers.commands import FailAttempt, ReportProgress, TakeUpJob
from ledger.domain.producers.progress import percent


def take_up_job(command: TakeUpJob, state: State, environment: Environment) -> Iterator[Change]:
    """Begin an attempt at a job in the queue, or in place of one that is lost or replaced."""
    job, produced = running_job(state, command.job)
    if produced.is_group:
        raise errors.NobodyWorks(command.job)
    if command.number is not None:
        yield from _go_on(state, job, produced, command, command.number)
        return
    if command.after != job.attempt:
        is_own = instance_of(produced.holder) == command.holder.instance
        if is_own and command.after == job.attempt - 1:
            if command.once:
                raise errors.RecordedBefore(command.job)
            return
        raise errors.AttemptTaken(command.job, job.attempt)
    if not (produced.queued or command.replaces or is_lost(state, job, produced)):
        raise errors.AttemptTaken(command.job, job.attempt)
    rest_on_those_above(state, job)
    begun = new_attempt(job.attempt + 1, command.holder, command.happened_at)
    yield fact_told(state, job.uuid, begun)


def _go_on(
    state: State, job: Job, produced: Produced, command: TakeUpJob, number: int
) -> Iterator[Change]:
    """Begin an attempt of which the ledger does not know, because it was restored."""
    is_own = instance_of(produced.holder) == command.holder.instance
    if number == job.attempt and is_own:
        return
    if number <= job.attempt:
        raise errors.AttemptReplaced(job.uuid, number, job.attempt)
    rest_on_those_above(state, job)
    yield fact_told(state, job.uuid, new_attempt(number, command.holder, command.happened_at))


def report_progress(
    command: ReportProgress, state: State, environment: Environment
) -> Iterator[Change]:
    """Record how far an attempt is; if it was lost and reports live, it has returned."""
    report = command.report
    if not command.buffered:
        yield from record_return(state, command.job, report.attempt)
    working_job(state, command.job, report.attempt)
    _, produced = known_job(state, command.job)
    shown = None if report.stale else produced.shown
    yield fact_told(state, command.job, replace(report, percent=percent(report, shown)))


def fail_attempt(command: FailAttempt, state: State, environment: Environment) -> Iterator[Change]:
    check_reason(command.failed)
    job, produced = running_job(state, command.job)
    check_attempt(job, command.failed.attempt)
    if not produced.queued:  # else it has failed already
        yield fact_told(state, job.uuid, command.failed)
