"""What decisions record of producers' jobs, with the times that it happened."""

from datetime import datetime

from msgspec.structs import replace

from ledger.domain.context import Fact, State
from ledger.domain.decisions.producers.lookup import known_job
from ledger.domain.events import Event
from ledger.domain.events.jobs import JobAttemptStarted, job_stream
from ledger.domain.events.producers import (
    Holder,
    JobAttemptFailed,
    LateReportRecorded,
    ProgressReported,
)
from ledger.domain.producers.commands import End

Told = JobAttemptStarted | ProgressReported | JobAttemptFailed | End | LateReportRecorded
"""What a producer tells of, with the time when it happened."""


def new_attempt(attempt: int, holder: Holder, happened_at: datetime | None) -> JobAttemptStarted:
    return JobAttemptStarted(attempt, holder=holder, happened_at=happened_at)


def fact_told(state: State, uuid: str, event: Told) -> Fact:
    """Return the event as one that happened by now, and not before the one told of before it."""
    _, produced = known_job(state, uuid)
    happened_at = event.happened_at
    if happened_at is None or (isinstance(event, ProgressReported) and event.stale):
        return fact(uuid, event)
    happened_at = min(state.now, max(happened_at, produced.said_at))
    return fact(uuid, replace(event, happened_at=happened_at))


def fact(uuid: str, event: Event) -> Fact:
    return Fact(job_stream(uuid), event)
