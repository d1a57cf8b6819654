"""The state of a producer's job beyond that of every job."""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Event, Recorded
from ledger.domain.events.jobs import (
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobEvent,
    JobFailed,
    JobSucceeded,
)
from ledger.domain.events.producers import (
    Exit,
    Holder,
    JobAttemptFailed,
    JobAttemptReturned,
    JobCancelRequested,
    JobCancelSeen,
    JobRegistered,
    JobSealed,
    JobSkipped,
    JobTextsRemoved,
    LateReportRecorded,
    Outcome,
    ProgressReported,
)
from ledger.domain.producers.texts import texts_in


class CancelRequest(Struct, frozen=True, gc=False):
    """Who asked the job to stop, and when; with `cascade`, the jobs below it too."""

    at: datetime
    by: str
    grace_s: int
    cascade: bool


class Produced(Struct, frozen=True, gc=False):
    """A producer's job.

    `said_at` is when the last thing happened that was said of it, by our clock. `queued`: nobody
    works on it, yet or until a retry; a group is never in the queue. `attempt` is the number of the
    current attempt or the last, and `holder` makes it, or made it. `retry_at` is when a job in the
    queue may be taken up again. `losses` counts how often the attempt was lost, `returns` how often
    it came back. `cancel_seen` is when the producer said that it knew of a request, to this job or
    to one above; whoever makes the next attempt has to say so again. `shown` is what the attempt
    has shown in per cent, also while its reports do not say; `reported` is its last report that
    became an event, and `reports` how many did. `late` is how a job that had been abandoned really
    ended. `has_texts`: an event has had a text since words were last removed. `began` and
    `finished` are when the last attempt, or a group, really did, by what was said of it;
    `started_at` is when the first one did. `lost_since` and `waiting_since`: the attempt is lost,
    or the last one failed and no other has begun. `moved_at` is when `done` changed last. What the
    end of the job said, or of its last attempt, is in `error_type`, `exit` and `retryable`.
    """

    registered: JobRegistered
    queued: bool
    said_at: datetime
    attempt: int = 0
    holder: Holder | None = None
    retry_at: datetime | None = None
    losses: int = 0
    returns: int = 0
    sealed: bool = False
    cancel: CancelRequest | None = None
    cancel_seen: datetime | None = None
    shown: int | None = None
    reported: ProgressReported | None = None
    reports: int = 0
    outcome: Outcome | None = None
    reason: str | None = None
    late: Outcome | None = None
    ended_stops_below: bool = False
    has_texts: bool = False
    started_at: datetime | None = None
    began: datetime | None = None
    finished: datetime | None = None
    lost_since: datetime | None = None
    waiting_since: datetime | None = None
    moved_at: datetime | None = None
    error_type: str | None = None
    exit: Exit | None = None
    retryable: bool | None = None

    @property
    def is_group(self) -> bool:
        return self.registered.ends == "children"

    @property
    def was_given_up(self) -> bool:
        """Whether it ended because nothing more was heard of whoever had worked on it."""
        return self.reason in ("lost", "expired") and self.attempt > 0

    @property
    def stops_below(self) -> bool:
        """Whether the jobs below are asked to stop: by a request, or because of how it ended."""
        if self.cancel is not None:
            return self.cancel.cascade or self.ended_stops_below
        return self.ended_stops_below or self.outcome in ("failed", "cancelled")


def register(event: JobRegistered) -> Produced:
    return Produced(
        event,
        queued=event.ends == "self",
        said_at=event.happened_at,
        has_texts=event.title is not None,
        began=event.happened_at,
    )


def evolve(produced: Produced, recorded: Recorded[JobEvent]) -> Produced:
    """Return what is known after one more event of the job's stream."""
    after = _say(_after(produced, recorded), recorded.event)
    said_at = getattr(recorded.event, "happened_at", None)
    if said_at is not None and said_at > after.said_at:
        after = replace(after, said_at=said_at)
    if after.has_texts or not any(texts_in(recorded.event)):
        return after
    return replace(after, has_texts=True)


def _say(produced: Produced, event: Event) -> Produced:
    """Return what is known after the end of the job or an attempt said how it had gone."""
    match event:
        case JobAttemptFailed():
            return replace(produced, error_type=event.error_type, exit=event.exit)
        case JobFailed() | LateReportRecorded():
            return replace(
                produced, error_type=event.error_type, exit=event.exit, retryable=event.retryable
            )
        case JobSucceeded() | JobCancelled():
            return replace(produced, error_type=None, exit=event.exit)
        case JobSkipped():
            return replace(produced, error_type=None, exit=None)
        case _:
            return produced


def _after(produced: Produced, recorded: Recorded[JobEvent]) -> Produced:
    event, at = recorded.event, recorded.recorded_at
    match event:
        case JobAttemptStarted():
            return _begin_attempt(produced, event, at)
        case JobAttemptLost(last=last):
            lost = produced if last is None else _report(produced, last)
            return replace(lost, losses=produced.losses + 1, lost_since=at)
        case JobAttemptReturned():
            return replace(produced, returns=produced.returns + 1, lost_since=None)
        case JobAttemptFailed(retry_at=retry_at):
            return replace(
                produced, queued=True, retry_at=retry_at, lost_since=None, waiting_since=at
            )
        case ProgressReported(stale=stale):
            shown = produced if stale else _report(produced, event)
            return replace(shown, reports=produced.reports + 1)
        case JobSealed():
            return replace(produced, sealed=True)
        case JobCancelRequested():
            asked = CancelRequest(at, recorded.actor, event.grace_s, event.cascade)
            return replace(produced, cancel=asked)
        case JobCancelSeen():
            return replace(produced, cancel_seen=at)
        case JobSucceeded(happened_at=happened_at):
            ended = _end(produced, "succeeded", happened_at or at)
            return replace(ended, ended_stops_below=event.stops_below)
        case JobSkipped(happened_at=happened_at):
            return _end(produced, "skipped", happened_at)
        case JobFailed(happened_at=happened_at):
            return _end(produced, "failed", happened_at or at, event.reason)
        case JobCancelled(happened_at=happened_at):
            return _end(produced, "cancelled", happened_at or at, event.reason)
        case LateReportRecorded(outcome=outcome, happened_at=happened_at):
            return replace(produced, late=outcome, finished=happened_at)
        case JobTextsRemoved():
            return replace(produced, has_texts=False)
        case _:
            return produced


def _begin_attempt(produced: Produced, event: JobAttemptStarted, at: datetime) -> Produced:
    began = event.happened_at or at
    return replace(
        produced,
        attempt=event.attempt,
        started_at=produced.started_at or began,
        queued=False,
        holder=event.holder,
        retry_at=None,
        losses=0,
        returns=0,
        cancel_seen=None,
        shown=None,
        reported=None,
        reports=0,
        began=began,
        lost_since=None,
        waiting_since=None,
        moved_at=None,
        error_type=None,
        exit=None,
    )


def _report(produced: Produced, report: ProgressReported) -> Produced:
    shown = produced.shown if report.percent is None else report.percent
    before = None if produced.reported is None else produced.reported.done
    moved_at = produced.moved_at if report.done == before else report.happened_at
    return replace(produced, reported=report, shown=shown, moved_at=moved_at)


def _end(
    produced: Produced, outcome: Outcome, finished: datetime, reason: str | None = None
) -> Produced:
    return replace(
        produced,
        queued=False,
        outcome=outcome,
        reason=reason,
        finished=finished,
        lost_since=None,
        waiting_since=None,
    )
