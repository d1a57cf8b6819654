"""What is known of a producer's job besides what is known of every job."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Recorded
from ledger.domain.events.jobs import (
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobEvent,
    JobFailed,
    JobSucceeded,
)
from ledger.domain.events.producers import (
    Holder,
    JobAttemptFailed,
    JobAttemptReturned,
    JobCancelRequested,
    JobCancelSeen,
    JobRegistered,
    JobSealed,
    JobSkipped,
    LateReportRecorded,
    Outcome,
    ProgressReported,
)

Phase = Literal["queued", "running", "over"]
"""Whether somebody works on the job; a group runs until it is over."""


class CancelRequest(Struct, frozen=True, gc=False):
    """Who asked the job to stop, and when; `seen` is when its producer said that it knew."""

    at: datetime
    by: str
    grace_s: int
    cascade: bool
    seen: datetime | None = None


class Produced(Struct, frozen=True, gc=False):
    """A producer's job.

    `holder` makes the current attempt, or made the last. `retry_at` is when a job in the queue may
    be taken up again. `losses` counts the attempts lost, `returns` those that came back. `shown` is
    what the attempt has shown in per cent, `reported` its last report that became an event, and
    `reports` how many did. `late` is how a job that had been given up really ended.
    """

    registered: JobRegistered
    phase: Phase
    holder: Holder | None = None
    retry_at: datetime | None = None
    losses: int = 0
    returns: int = 0
    sealed: bool = False
    cancel: CancelRequest | None = None
    shown: int | None = None
    reported: ProgressReported | None = None
    reports: int = 0
    outcome: Outcome | None = None
    reason: str | None = None
    late: Outcome | None = None
    cancels_children: bool = False

    @property
    def is_group(self) -> bool:
        return self.registered.ends == "children"

    @property
    def stops_below(self) -> bool:
        """Whether the jobs below are asked to stop: by a request, or because of how it ended."""
        if self.cancel is not None and self.cancel.cascade:
            return True
        return self.cancels_children or self.outcome in ("failed", "cancelled")


def register(event: JobRegistered) -> Produced:
    return Produced(event, "running" if event.ends == "children" else "queued")


def evolve(produced: Produced, recorded: Recorded[JobEvent]) -> Produced:
    """Return what is known after one more event of the job's stream."""
    event, at = recorded.event, recorded.recorded_at
    match event:
        case JobAttemptStarted():
            return replace(
                produced,
                phase="running",
                holder=event.holder,
                retry_at=None,
                shown=None,
                reported=None,
                reports=0,
            )
        case JobAttemptLost(last=last):
            lost = produced if last is None else _report(produced, last)
            return replace(lost, losses=produced.losses + 1)
        case JobAttemptReturned():
            return replace(produced, returns=produced.returns + 1)
        case JobAttemptFailed(retry_at=retry_at):
            return replace(produced, phase="queued", retry_at=retry_at)
        case ProgressReported():
            return replace(_report(produced, event), reports=produced.reports + 1)
        case JobSealed():
            return replace(produced, sealed=True)
        case JobCancelRequested():
            cancel = CancelRequest(at, recorded.actor, event.grace_s, event.cascade)
            return replace(produced, cancel=cancel)
        case JobCancelSeen():
            cancel = produced.cancel and replace(produced.cancel, seen=at)
            return replace(produced, cancel=cancel)
        case JobSucceeded():
            ended = _end(produced, "succeeded")
            return replace(ended, cancels_children=event.cancels_children)
        case JobSkipped():
            return _end(produced, "skipped")
        case JobFailed():
            return _end(produced, "failed", event.reason)
        case JobCancelled():
            return _end(produced, "cancelled", event.reason)
        case LateReportRecorded(outcome=outcome):
            return replace(produced, late=outcome)
        case _:
            return produced


def _report(produced: Produced, report: ProgressReported) -> Produced:
    return replace(produced, reported=report, shown=report.percent)


def _end(produced: Produced, outcome: Outcome, reason: str | None = None) -> Produced:
    return replace(produced, phase="over", outcome=outcome, reason=reason)
