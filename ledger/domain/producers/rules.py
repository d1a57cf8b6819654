"""Whether an event may follow in the stream of a producer's job, as the auditor judges it."""

from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.events import Event
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    Ending,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobFailed,
)
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobAttemptReturned,
    JobCancelRequested,
    JobCancelSeen,
    JobRegistered,
    JobSealed,
    JobTextsRemoved,
    LateReportRecorded,
    ProgressReported,
)

ALONE = ("lost", "forced", "expired")
"""Why a job may end without its producer's word, or the ends of its sub-jobs."""


def violation(job: Job, produced: Produced, event: Event) -> str | None:
    """Return why this event may not come next in the job's stream; None if it may."""
    if isinstance(event, JobTextsRemoved):
        return None if produced.has_texts else "there were no texts"
    if job.state != "started":
        return _after_end(job, produced, event)
    match event:
        case JobCreated() | JobRegistered() | LateReportRecorded():
            return "the job was registered already, and has not ended"
        case ChildAttached(child=child):
            return _attach(job, produced, child)
        case ChildEnded(child=child):
            known = job.children.get(child)
            if not produced.is_group:
                return "only a group is told how its sub-jobs end"
            return f"no running child {child}" if known is None or known.ended else None
        case JobSealed():
            if not produced.is_group:
                return "only a group is sealed"
            return "the group was sealed already" if produced.sealed else None
        case JobCancelRequested():
            return "the job was asked to stop already" if produced.cancel is not None else None
        case _ if type(event) in ENDINGS:
            return _end_of_group(job, produced, event) if produced.is_group else _end(job, event)
        case _:
            return _attempt(job, produced, event)


def _after_end(job: Job, produced: Produced, event: Event) -> str | None:
    if not isinstance(event, LateReportRecorded):
        return f"the job had ended: {job.state}"
    if not produced.was_given_up:
        return "the job had not been abandoned"
    if event.attempt < job.attempt:
        return f"attempt {event.attempt} reports after attempt {job.attempt}"
    return "its late report was recorded already" if produced.late is not None else None


def _attach(job: Job, produced: Produced, child: str) -> str | None:
    if job.children.get(child) is not None:
        return f"child {child} is attached twice"
    return "the group was sealed" if produced.sealed else None


def _end(job: Job, event: Event) -> str | None:
    """Check that whoever ends the job has worked on it, or that nobody could say how it ended."""
    alone = isinstance(event, JobFailed | JobCancelled) and event.reason in (*ALONE, "requested")
    return "nobody had taken the job up" if job.attempt == 0 and not alone else None


def _end_of_group(job: Job, produced: Produced, event: Event) -> str | None:
    """Check that the group ends by its sub-jobs, as they ended or as it was asked to."""
    if isinstance(event, JobFailed | JobCancelled) and event.reason in ALONE:
        return None
    if not produced.sealed:
        return "the group was not sealed"
    if job.children.running:
        return "a child was still running"
    return None if ENDINGS[type(event)] == _due(job, produced) else "its children ended otherwise"


def _due(job: Job, produced: Produced) -> Ending:
    """Return how a group ends: sub-jobs that a request has kept from coming were cancelled."""
    registered, asked = produced.registered, produced.cancel is not None
    children, expected = job.children, registered.expect_children or 0
    are_missing = len(children) < expected and not asked
    are_kept_away = len(children) < max(expected, 1) and asked
    counts = {
        "missing": are_missing,
        "failed": children.failed,
        "cancelled": children.cancelled or are_kept_away,
    }
    bad = [why for why, count in counts.items() if count and why not in registered.tolerate]
    return "success" if not bad else "cancelled" if bad == ["cancelled"] else "failed"


def _attempt(job: Job, produced: Produced, event: Event) -> str | None:
    match event:
        case _ if produced.is_group:
            return f"a group has no {type(event).__name__}"
        case JobAttemptStarted(attempt=attempt, holder=holder):
            if holder is None:
                return "an attempt has no holder"
            return None if attempt > job.attempt else f"attempt {attempt} after {job.attempt}"
        case (
            JobAttemptLost(attempt=attempt)
            | JobAttemptReturned(attempt=attempt)
            | JobAttemptFailed(attempt=attempt)
            | JobCancelSeen(attempt=attempt)
            | ProgressReported(attempt=attempt)
        ):
            return _report(job, produced, event, attempt)
        case _:
            return f"a producer's job has no {type(event).__name__}"


def _report(job: Job, produced: Produced, event: Event, attempt: int) -> str | None:
    if attempt != job.attempt or produced.queued:
        return f"attempt {attempt} reports during attempt {job.attempt}"
    match event:
        case JobAttemptLost(last=last):
            if job.lost:
                return "the attempt was lost already"
            return None if last is None else _report(job, produced, last, last.attempt)
        case JobAttemptReturned():
            return None if job.lost else "the attempt was not lost"
        case JobCancelSeen():
            seen = produced.cancel_seen is not None
            return "the request was seen already" if seen else None
        case ProgressReported(percent=percent):
            good = percent is None or 0 <= percent < 100  # noqa: PLR2004 - per cent
            return None if good else f"progress is {percent}"
        case _:
            return None
