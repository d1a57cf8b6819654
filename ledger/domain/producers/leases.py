"""What is expected of a producer's job next, and by when.

Each job that goes on has one row that says so: its lease. Every event that changes what is expected
changes the row in its transaction, so the row and the record never differ.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.events import Event
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
)
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobAttemptReturned,
    JobRegistered,
    JobSealed,
)

Awaited = Literal["beat", "return", "end", "start", "seal"]
"""A beat of an attempt; the return of a lost one; the end of one from which no beats are expected;
somebody who takes a job up; the seal of a group, or a change below it."""
ALIVE: tuple[Awaited, ...] = ("beat", "end")
"""Somebody works on the job, as far as is known."""

GRACE = timedelta(seconds=5)
"""A beat may be held in memory for a part of it, so nobody is lost before."""
BEATS_IN_A_LEASE = 3
"""A producer should report so often that one report may fail."""
RETURNS_BEFORE_LONGER = 3
"""After so many, the lease is doubled: the line is bad, not the producer."""
LONGEST_DOUBLED_S = 15 * 60

_CHANGING = (
    JobRegistered,
    JobAttemptStarted,
    JobAttemptLost,
    JobAttemptReturned,
    JobAttemptFailed,
    JobSealed,
    *ENDINGS,
)
_BELOW = (ChildAttached, ChildEnded)


class Lease(Struct, frozen=True, gc=False):
    """The row of a job as it is in the store; `due` is in microseconds of service time.

    `lease_s` is for how long each beat holds, None if no beats are expected. `live` and `buffered`
    are the numbers of the newest reports of each kind, `figures` what the newest one said, as JSON,
    and `waiting` for what it waits. `deadline` is when the job is to be asked to stop.
    """

    job: str
    root: str
    attempt: int
    awaits: Awaited
    due: int
    lease_s: int | None = None
    lost: datetime | None = None
    heard: datetime | None = None
    live: int | None = None
    buffered: int | None = None
    instance: str | None = None
    host: str | None = None
    pid: int | None = None
    figures: bytes | None = None
    waiting: bytes | None = None
    deadline: datetime | None = None


class Expect(Struct, frozen=True, gc=False):
    """From now on this is expected, within so many seconds of service time.

    What the row says of the same attempt's reports stays.
    """

    job: str
    root: str
    attempt: int
    awaits: Awaited
    within_s: float
    lease_s: int | None = None
    lost: datetime | None = None
    heard: datetime | None = None
    instance: str | None = None
    host: str | None = None
    pid: int | None = None
    deadline: datetime | None = None


class Forget(Struct, frozen=True, gc=False):
    """Nothing is expected any more: the job is over, or ends with those below it."""

    job: str


LeaseChange = Expect | Forget


class Due(Struct, frozen=True, gc=False):
    """The row of this job is still due at this moment of service time: nobody was heard since."""

    job: str
    due: int


def change_after(event: Event, job: Job, at: datetime) -> LeaseChange | None:
    """Return how the row changes with an event after which this is the job."""
    produced = job.produced
    if produced is None:
        return None
    if not isinstance(event, _CHANGING) and not (isinstance(event, _BELOW) and produced.is_group):
        return None
    return expected(job, produced, at)


def expected(job: Job, produced: Produced, at: datetime) -> LeaseChange:
    """Return what is expected of a job in this state from this moment on."""
    limits = produced.registered.limits
    if job.state != "started" or produced.sealed:
        return Forget(job.uuid)
    if produced.is_group:
        return Expect(job.uuid, job.root, 0, "seal", limits.abandon_after_s)
    if produced.queued:
        pause = timedelta(0) if produced.retry_at is None else produced.retry_at - at
        within_s = limits.queue_s + max(pause.total_seconds(), 0)
        return Expect(job.uuid, job.root, job.attempt, "start", within_s)
    if job.lost:
        return lost(job, produced, at)
    lease_s = lease_of(produced)
    if lease_s is None:
        within_s = (limits.deadline_s or 0) + limits.abandon_after_s
        return _of_attempt(job, produced, "end", within_s, at)
    return _of_attempt(job, produced, "beat", lease_s, at)


def lost(job: Job, produced: Produced, at: datetime) -> Expect:
    """Return what is expected of an attempt that is lost, whatever the record says."""
    within_s = produced.registered.limits.abandon_after_s
    return _of_attempt(job, produced, "return", within_s, at)


def awaited_again(job: Job, produced: Produced, at: datetime, within_s: float) -> Expect:
    """Return that a job is waited for some more from which nothing was heard for too long."""
    if produced.is_group:
        return Expect(job.uuid, job.root, 0, "seal", within_s)
    return replace(lost(job, produced, at), within_s=within_s)


def _of_attempt(
    job: Job, produced: Produced, awaits: Awaited, within_s: float, at: datetime
) -> Expect:
    holder = produced.holder
    is_lost = awaits == "return"
    return Expect(
        job.uuid,
        job.root,
        job.attempt,
        awaits,
        within_s,
        lease_of(produced),
        at if is_lost else None,
        None if is_lost else at,
        None if holder is None else holder.instance,
        None if holder is None else holder.host,
        None if holder is None else holder.pid,
        _cancel_at(job, produced),
    )


def lease_of(produced: Produced) -> int | None:
    """Return for how many seconds a beat of the attempt holds; None if none are expected."""
    lease_s = produced.registered.limits.lease_s
    if lease_s is None or produced.returns < RETURNS_BEFORE_LONGER:
        return lease_s
    return max(lease_s, min(2 * lease_s, LONGEST_DOUBLED_S))


def overdue_since(job: Job) -> datetime | None:
    """Return from when on the attempt takes longer than was said; None without a deadline.

    It may be in the future.
    """
    produced, current = job.produced, job.current
    if produced is None or current is None or produced.queued:
        return None
    deadline_s = produced.registered.limits.deadline_s
    return None if deadline_s is None else current.began + timedelta(seconds=deadline_s)


def _cancel_at(job: Job, produced: Produced) -> datetime | None:
    """Return when the job is to be asked to stop by itself."""
    if produced.registered.on_deadline != "cancel" or produced.cancel is not None:
        return None
    return overdue_since(job)
