"""Jobs of producers, as their decisions look them up."""

from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.context import State
from ledger.domain.errors import producers as errors
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound, JobOver
from ledger.domain.events.producers import Holder


def instance_of(holder: Holder | None) -> str | None:
    return None if holder is None else holder.instance


def known_job(state: State, uuid: str, owner: str | None = None) -> tuple[Job, Produced]:
    """Return the producer's job; where an owner is given, it must be theirs.

    Raise `JobDiscarded` if there is none any more, although its events may still be there; to
    others than its owner it never was.
    """
    job = state.job(uuid)
    if (job is None or job.ended is not None) and state.is_spent(uuid):
        if owner not in (None, state.spent_owner(uuid)):
            raise JobNotFound(uuid)
        raise JobDiscarded(uuid)
    if job is None or job.produced is None or owner not in (None, job.owner):
        raise JobNotFound(uuid)
    return job, job.produced


def running_job(state: State, uuid: str, owner: str | None = None) -> tuple[Job, Produced]:
    job, produced = known_job(state, uuid, owner)
    if job.state != "started":
        raise JobOver(uuid, job.state)
    return job, produced


def working_job(state: State, uuid: str, attempt: int) -> Job:
    """Return the running job that this attempt works on."""
    job, produced = running_job(state, uuid)
    check_attempt(job, attempt)
    if produced.queued:
        raise errors.NobodyWorks(uuid)
    return job


def check_attempt(job: Job, attempt: int) -> None:
    """Check that the attempt is the last one of the job."""
    if job.attempt == 0:
        raise errors.NobodyWorks(job.uuid)
    if attempt != job.attempt:
        raise errors.AttemptReplaced(job.uuid, attempt, job.attempt)
