"""Asking jobs of producers to stop, and ending those that do not."""

from collections.abc import Iterator

from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.producers.ends import record_end, seal_group
from ledger.domain.decisions.producers.facts import fact
from ledger.domain.decisions.producers.lookup import known_job, running_job, working_job
from ledger.domain.decisions.producers.losses import abandoned, is_lost
from ledger.domain.errors import producers as errors
from ledger.domain.events.jobs import JobCancelled
from ledger.domain.events.producers import JobCancelRequested, JobCancelSeen
from ledger.domain.producers.commands import ForceEnd, RequestCancel, SeeCancel, SettleJob
from ledger.domain.producers.stops import asked_to_stop, is_unattended


def request_cancel(
    command: RequestCancel, state: State, environment: Environment
) -> Iterator[Change]:
    """Ask the job to stop. One that nobody works on ends at once, and a group is sealed.

    That holds also for a job that was asked before its attempt failed.
    """
    job, produced = running_job(state, command.job, command.owner)
    if not (produced.registered.cancellable or produced.queued):
        host = None if produced.holder is None else produced.holder.host
        raise errors.NotCancellable(job.uuid, host)
    if produced.cancel is None:
        yield fact(job.uuid, command.request)
    if produced.queued:
        yield from record_end(state, job.uuid, JobCancelled("requested", state.now))
    elif produced.is_group:
        yield from seal_group(state, job.uuid)


def settle_job(command: SettleJob, state: State, environment: Environment) -> Iterator[Change]:
    """Stop a job that is asked to and on which nobody works; another stays as it is.

    A group is then asked itself, so that its stream says why sub-jobs may be missing.
    """
    job = state.job(command.job)
    if job is None or job.produced is None or not is_unattended(job):
        return
    stop = asked_to_stop(job, state.job)
    if stop is None:
        return
    if job.produced.queued:
        yield from record_end(state, job.uuid, JobCancelled("requested", state.now))
        return
    if job.produced.cancel is None:
        yield fact(job.uuid, JobCancelRequested(stop.left_s(state.now)))
    yield from seal_group(state, job.uuid)


def see_cancel(command: SeeCancel, state: State, environment: Environment) -> Iterator[Change]:
    working_job(state, command.job, command.attempt)
    _, produced = known_job(state, command.job)
    if produced.cancel_seen is None:
        yield fact(command.job, JobCancelSeen(command.attempt))


def force_end(command: ForceEnd, state: State, environment: Environment) -> Iterator[Change]:
    """End the record: as lost, if the producer has fallen silent, else as cancelled by force.

    Raise `GraceNotOver` while the producer may still obey.
    """
    job, produced = running_job(state, command.job, command.owner)
    if is_lost(state, job, produced):
        end = abandoned("it was ended while its producer was silent")
        yield from record_end(state, job.uuid, end)
        return
    asked = asked_to_stop(job, state.job)
    if asked is None:
        raise errors.GraceNotOver(job.uuid, None)
    if state.now < asked.until:
        raise errors.GraceNotOver(job.uuid, max(1, asked.left_s(state.now)))
    yield from record_end(state, job.uuid, JobCancelled("forced", state.now))
