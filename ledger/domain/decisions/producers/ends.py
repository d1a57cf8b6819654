"""The ends of producers' jobs and groups.

What was acknowledged never changes: a job ends once, and whoever says the same again is told so.
A job that was abandoned may still be told how it really ended, once.
"""

from collections.abc import Iterator
from datetime import datetime

from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.producers.facts import fact, fact_told
from ledger.domain.decisions.producers.lookup import check_attempt, known_job, running_job
from ledger.domain.errors import producers as errors
from ledger.domain.events.jobs import ChildEnded, JobCancelled, JobFailed, JobSucceeded
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobSealed,
    JobSkipped,
    LateReportRecorded,
    Outcome,
)
from ledger.domain.producers.commands import End, EndJob, SealJob

_OURS = ("lost", "expired", "children", "forced")
"""Reasons of ends that no producer gives: an end that was forced or lost is answered otherwise."""


_OUTCOMES: dict[type[End], Outcome] = {
    JobSucceeded: "succeeded",
    JobSkipped: "skipped",
    JobFailed: "failed",
    JobCancelled: "cancelled",
}


def seal_if_complete(state: State, uuid: str) -> Iterator[Change]:
    """Seal a group that has got the last sub-job that it expected."""
    parent, produced = known_job(state, uuid)
    if produced.is_group and len(parent.children) == produced.registered.expect_children:
        yield fact(uuid, JobSealed())


def end_job(command: EndJob, state: State, environment: Environment) -> Iterator[Change]:
    """End the job, unless it has ended so; the end of one that was abandoned comes late.

    Raise `JobForced` if an operator has ended it, `EndedOtherwise`, `AttemptReplaced`,
    `ReasonReserved`, `ChildrenRunning`.
    """
    check_reason(command.end)
    job, produced = known_job(state, command.job)
    if job.state != "started":
        yield from _say_again(state, job, produced, command)
        return
    check_attempt(job, command.attempt)
    if command.alone:
        _check_alone(state, job)
    yield from record_end(state, job.uuid, command.end)


def _check_alone(state: State, job: Job) -> None:
    """Check that nobody works on a job below. Whoever registers another meets the end of this."""
    running = working_below(state, job)
    if running:
        raise errors.ChildrenRunning(job.uuid, running)


def check_reason(said: End | JobAttemptFailed) -> None:
    """Check that a producer says no more than it can know."""
    reason = None if isinstance(said, JobSucceeded | JobSkipped) else said.reason
    if reason in _OURS:
        raise errors.ReasonReserved(reason)


def _say_again(state: State, job: Job, produced: Produced, command: EndJob) -> Iterator[Change]:
    """Compare what is said now with how the job has ended."""
    if produced.reason == "forced":
        raise errors.JobForced(job.uuid)
    end, said = command.end, _OUTCOMES[type(command.end)]
    known = produced.late or produced.outcome
    assert known is not None
    # Of one that was given up, attempts may be told of that nobody has heard of.
    if not produced.was_given_up or command.attempt < job.attempt:
        check_attempt(job, command.attempt)
    if produced.was_given_up and produced.late is None:
        yield fact_told(state, job.uuid, _late(command.attempt, end, said, state.now))
    elif said != known:
        raise errors.EndedOtherwise(job.uuid, known, said)


def _late(attempt: int, end: End, said: Outcome, now: datetime) -> LateReportRecorded:
    return LateReportRecorded(
        attempt=attempt,
        outcome=said,
        happened_at=end.happened_at or now,
        error_type=end.error_type if isinstance(end, JobFailed) else None,
        message=end.message if isinstance(end, JobFailed | JobCancelled) else None,
        exit=None if isinstance(end, JobSkipped) else end.exit,
        result=end.result,
        reason=end.reason if isinstance(end, JobFailed | JobCancelled) else None,
        retryable=end.retryable if isinstance(end, JobFailed) else None,
        tail=end.tail if isinstance(end, JobFailed) else None,
    )


def seal_job(command: SealJob, state: State, environment: Environment) -> Iterator[Change]:
    job, produced = known_job(state, command.job, command.owner)
    if not produced.is_group:
        raise errors.NotAGroup(job.uuid)
    if not produced.sealed:
        yield from seal_group(state, job.uuid)


def seal_group(state: State, group: str) -> Iterator[Change]:
    """Seal the group, unless it is; end it if nothing below it runs."""
    _, produced = running_job(state, group)
    if not produced.sealed:
        yield fact(group, JobSealed())
    yield from settle_group(state, group)


def working_below(state: State, job: Job) -> int:
    """Return how many sub-jobs somebody works on, or below which; rest on it if nobody does.

    None of them is read: there may be thousands.
    """
    if not job.children:
        return 0
    state.guard(job.root)
    working = set(state.alive(job.root)) - {job.uuid}
    seen: set[str] = set()
    while working:
        below = sum(job.children.get(uuid) is not None for uuid in working)
        if below:
            return below
        seen |= working
        working = {*state.parents(working)} - seen
    return 0


def record_end(state: State, uuid: str, end: End) -> Iterator[Change]:
    """End the job, and tell the group above, which may end with it. A job above does not."""
    job, _ = known_job(state, uuid)
    yield fact_told(state, uuid, end)
    if job.parent is None:
        return
    parent = state.job(job.parent)
    assert parent is not None, f"there is no parent {job.parent}"
    assert parent.produced is not None, f"parent {job.parent} is no producer's job"
    if not parent.produced.is_group or parent.state != "started":
        return
    yield fact(job.parent, ChildEnded(uuid, ENDINGS[type(end)]))
    yield from settle_group(state, job.parent)


def settle_group(state: State, uuid: str) -> Iterator[Change]:
    """End a group that is sealed and below which nothing runs, as its sub-jobs ended."""
    group, produced = known_job(state, uuid)
    if produced.sealed and not group.children.running:
        yield from record_end(state, uuid, _end_of_group(group, produced, state))


def _end_of_group(group: Job, produced: Produced, state: State) -> End:
    """Return its end. Sub-jobs that a request has kept from coming count as cancelled."""
    tolerated, children = produced.registered.tolerate, group.children
    missing, asked = seen_of(group, produced), produced.cancel is not None
    if missing is not None and not asked and "missing" not in tolerated:
        return JobFailed(missing, "lost", state.now)
    if children.failed and "failed" not in tolerated:
        return JobFailed(f"{children.failed} of {len(children)} failed", "children", state.now)
    cancelled = children.cancelled or (asked and (missing is not None or not children))
    if cancelled and "cancelled" not in tolerated:
        return JobCancelled("requested" if asked else None, state.now)
    return JobSucceeded(state.now)


def seen_of(group: Job, produced: Produced) -> str | None:
    """Return in words that sub-jobs of the group never came; None if all came."""
    expected, seen = produced.registered.expect_children, len(group.children)
    if expected is None or seen >= expected:
        return None
    return f"expected {expected}, saw {seen}"
