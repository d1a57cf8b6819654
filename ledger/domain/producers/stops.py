"""Whether a job is asked to stop: by a request to it, or by what happened to a job above it.

Nothing is copied to the jobs below. It is looked up in those above for each answer, so that a job
which registers later is asked as well.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.aggregates.job import Job

GRACE_S = 60
"""How long jobs have to stop for which nobody has said it: a job above them has ended."""

StopOutcome = Literal["obeyed", "finished_anyway", "unanswered", "unreachable"]
"""What became of a request: the job was cancelled; it ended otherwise; its time is over, although
its producer is alive; its producer has fallen silent."""


class Stop(Struct, frozen=True, gc=False):
    """A job makes others stop, or is to stop itself: since when, and within which time.

    `by` is who asked; nobody did where the jobs below stop because of how this one ended.
    `itself`, `below`: whom it makes stop.
    """

    job: str
    at: datetime
    by: str | None
    grace_s: int
    itself: bool
    below: bool

    @property
    def until(self) -> datetime:
        return self.at + timedelta(seconds=self.grace_s)

    def left_s(self, now: datetime) -> int:
        """Return how many seconds are left to stop in."""
        return max(0, int((self.until - now).total_seconds()))


def stop_by(job: Job) -> Stop | None:
    """Return whom this job makes stop; None if nobody."""
    produced = job.produced
    if produced is None:
        return None
    asked, below = produced.cancel, produced.stops_below
    if asked is not None:
        return Stop(job.uuid, asked.at, asked.by, asked.grace_s, itself=True, below=below)
    if job.ended is None or not below or not job.children:
        return None
    return Stop(job.uuid, job.ended, None, GRACE_S, itself=False, below=True)


def is_unattended(job: Job) -> bool:
    """Whether nobody works on the job, so that the service itself must stop it.

    It waits in the queue, or is a group that takes more sub-jobs.
    """
    produced = job.produced
    if produced is None or job.ended is not None:
        return False
    return produced.queued or (produced.is_group and not produced.sealed)


def can_be_asked(job: Job) -> bool:
    """Whether its producer can stop the job, or nobody has to."""
    produced = job.produced
    assert produced is not None, f"{job.uuid} is no producer's job"
    return produced.registered.cancellable or is_unattended(job)


def asked_to_stop(job: Job, find: Callable[[str], Job | None]) -> Stop | None:
    """Return why the job is asked to stop, as it is now; None if it is not."""
    if not can_be_asked(job):
        return None
    own = stop_by(job)
    stops = [] if own is None or not own.itself else [own]
    above = job.parent
    while above is not None:
        parent = find(above)
        assert parent is not None, f"there is no parent {above}"
        stop = stop_by(parent)
        if stop is not None and stop.below:
            stops.append(stop)
        above = parent.parent
    return earliest(stops, job.ended)


def earliest(stops: Iterable[Stop], ended: datetime | None = None) -> Stop | None:
    """Return the first of several that ask the same job, until the earliest of their ends.

    It asks the jobs below if one of them does. What came only after the job had `ended` does not
    count.
    """
    asking = [stop for stop in stops if ended is None or stop.at <= ended]
    if not asking:
        return None
    first = min(asking, key=lambda stop: stop.at)
    until = min(stop.until for stop in asking)
    grace_s = int((until - first.at).total_seconds())
    return replace(first, grace_s=grace_s, below=any(stop.below for stop in asking))


def outcome_of_stop(
    stop: Stop, *, outcome: str | None, reason: str | None, lost: bool, now: datetime
) -> StopOutcome | None:
    """Return what became of it; None while the job may still obey. `outcome` is how it ended."""
    if outcome is None:
        if lost:
            return "unreachable"
        return "unanswered" if now >= stop.until else None
    if reason == "lost":
        return "unreachable"
    if outcome == "cancelled":
        return "unanswered" if reason == "forced" else "obeyed"
    return "finished_anyway"
