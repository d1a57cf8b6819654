"""Jobs of producers: how they are registered, taken up, reported on, asked to stop, and ended.

What was acknowledged never changes: a job ends once, and whoever says the same again is told so.
A job that was abandoned may still be told how it really ended, once.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec.structs import replace

from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.decisions.jobs import DEPTH_LIMIT, check_labels, depth, own_job
from ledger.domain.errors import producers as errors
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound, JobOver, TooDeep
from ledger.domain.events import Event
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobFailed,
    JobSucceeded,
    job_stream,
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
    JobTextsRemoved,
    LateReportRecorded,
    Outcome,
    ProgressReported,
)
from ledger.domain.operations import OPERATIONS
from ledger.domain.producers.commands import (
    AbandonJob,
    End,
    EndJob,
    FailAttempt,
    ForceEnd,
    LoseProducer,
    RegisterJob,
    RemoveTexts,
    ReportProgress,
    RequestCancel,
    ReturnAttempt,
    SealJob,
    SeeCancel,
    SettleJob,
    TakeUpJob,
)
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.leases import awaited_again, expected, lost
from ledger.domain.producers.progress import percent
from ledger.domain.producers.stops import asked_to_stop, is_unattended
from ledger.domain.producers.texts import DropTexts

CHILDREN_MOST = 10_000
LOSSES_TOLD = 10
"""Losses of an attempt that become events; a line that keeps failing must not fill its history."""
LOOK_AGAIN_S = 3600.0
"""After so long at the most, a lost job is looked at again above one on which somebody works."""
_OURS = ("lost", "expired", "children", "forced")
"""Reasons of ends that no producer gives: an end that was forced or lost is answered otherwise."""
Told = JobAttemptStarted | ProgressReported | JobAttemptFailed | End | LateReportRecorded
"""What a producer tells of, with the time when it happened."""
_OUTCOMES: dict[type[End], Outcome] = {
    JobSucceeded: "succeeded",
    JobSkipped: "skipped",
    JobFailed: "failed",
    JobCancelled: "cancelled",
}


def register_job(command: RegisterJob, state: State, environment: Environment) -> Iterator[Change]:
    """Register the job, unless it is registered; begin and end it as far as the command says.

    The external id finds it, whatever uuid the command has.

    Raise `Reserved`, `ReasonReserved`, `NobodyWorks`, `BadLabel`, `TooManyLabels`, `UuidTaken`,
    `JobDiscarded`, `AlreadyRegistered`, `RecordedBefore`, and what the parent refuses, or the end.
    """
    if command.operation in OPERATIONS:
        raise errors.Reserved(command.operation)
    if command.end is not None:
        _check_reason(command.end)
        if command.holder is None:
            raise errors.NobodyWorks(command.job)
    check_labels(command.registered.labels)
    command = _named(command, state)
    known = state.job(command.job)
    may_be_gone = command.chosen if known is None else known.ended is not None
    if may_be_gone and state.is_spent(command.job):
        if state.spent_owner(command.job) != command.owner:
            raise errors.UuidTaken(command.job)
        raise JobDiscarded(command.job)
    if known is not None:
        _check_is_same(known, command)
        if command.once:
            raise errors.RecordedBefore(command.job)
        if command.end is not None:
            again = EndJob(command.job, known.attempt, command.end)
            yield from end_job(again, state, environment)
        return
    if command.holder is not None and command.registered.ends == "children":
        raise errors.NobodyWorks(command.job)
    root, ordinal = command.job, 0
    if command.parent is not None:
        above = _parent(state, command.parent, command.owner)
        root, ordinal = above.root, len(above.children)
    yield _fact(
        command.job,
        JobCreated(command.operation, command.owner, (), root, command.parent, ordinal),
    )
    registered = command.registered
    happened_at = min(state.now, registered.happened_at)
    yield _fact(command.job, replace(registered, happened_at=happened_at))
    if command.parent is not None:
        yield _fact(command.parent, ChildAttached(command.job))
        yield from _seal_if_complete(state, command.parent)
    if command.holder is not None:
        yield _told(state, command.job, _begun(1, command.holder, happened_at))
    if command.end is not None:
        yield from _end(state, command.job, command.end)


def _named(command: RegisterJob, state: State) -> RegisterJob:
    """Let the command be about the job that has its external id, if there is one."""
    registered = command.registered
    if registered.external_id is None:
        return command
    external = ExternalId(command.owner, registered.source, registered.external_id)
    found = state.registered_as(external)
    return command if found is None else replace(command, job=found)


def _check_is_same(known: Job, command: RegisterJob) -> None:
    """Check that this process has registered the same before, or wants no attempt at it.

    What else it may say of the job belongs to an attempt, and is not compared.
    """
    produced, wanted = known.produced, command.registered
    if produced is None or known.owner != command.owner:
        raise errors.UuidTaken(command.job)
    registered = produced.registered
    parent, below = known.parent or registered.was_below, command.parent or wanted.was_below
    if (known.operation, parent, registered.source, registered.external_id) != (
        command.operation,
        below,
        wanted.source,
        wanted.external_id,
    ) or registered.ends != wanted.ends:
        if wanted.external_id is not None and _is_named_alike(registered, wanted):
            raise errors.AlreadyRegistered(command.job, known.attempt)
        raise errors.UuidTaken(command.job)
    if command.holder is not None and _instance(produced.holder) != command.holder.instance:
        raise errors.AlreadyRegistered(command.job, known.attempt)


def _is_named_alike(registered: JobRegistered, wanted: JobRegistered) -> bool:
    return (registered.source, registered.external_id) == (wanted.source, wanted.external_id)


def _instance(holder: Holder | None) -> str | None:
    return None if holder is None else holder.instance


def _parent(state: State, uuid: str, owner: str) -> Job:
    """Return the job that is to have a sub-job; raise why it cannot."""
    above = state.job(uuid)
    if above is None or above.owner != owner or above.produced is None:
        raise errors.ParentUnknown(uuid)
    if above.state != "started":
        raise errors.ParentOver(uuid, above.state)
    if above.produced.sealed:
        raise errors.GroupSealed(uuid)
    if len(above.children) >= CHILDREN_MOST:
        raise errors.TooManyChildren(uuid, CHILDREN_MOST)
    if depth(state, above) == DEPTH_LIMIT:
        raise TooDeep(uuid, DEPTH_LIMIT)
    if above.lost or _losses(above) >= LOSSES_TOLD or _may_end_above(state, above):
        state.guard(above.root)
    return above


def _rest_on_those_above(state: State, job: Job) -> None:
    """Let whoever ends a job above this one hear that somebody works on it."""
    if _may_end_above(state, job):
        state.guard(job.root)


def _may_end_above(state: State, job: Job) -> bool:
    """Return whether a job above this one may end while this one goes on.

    Groups end after those below them, unless they are abandoned.
    """
    while job.parent is not None:
        above = state.job(job.parent)
        if above is None:
            return False
        is_group = above.produced is not None and above.produced.is_group
        if not is_group or above.lost or _losses(above) >= LOSSES_TOLD:
            return True
        job = above
    return False


def _seal_if_complete(state: State, uuid: str) -> Iterator[Change]:
    """Seal a group that has got the last sub-job that it expected."""
    parent, produced = _known(state, uuid)
    if produced.is_group and len(parent.children) == produced.registered.expect_children:
        yield _fact(uuid, JobSealed())


def take_up_job(command: TakeUpJob, state: State, environment: Environment) -> Iterator[Change]:
    """Begin an attempt at a job in the queue, or in place of one that is lost or replaced."""
    job, produced = _running(state, command.job)
    if produced.is_group:
        raise errors.NobodyWorks(command.job)
    if command.number is not None:
        yield from _go_on(state, job, produced, command, command.number)
        return
    if command.after != job.attempt:
        is_own = _instance(produced.holder) == command.holder.instance
        if is_own and command.after == job.attempt - 1:
            if command.once:
                raise errors.RecordedBefore(command.job)
            return
        raise errors.AttemptTaken(command.job, job.attempt)
    if not (produced.queued or command.replaces or _is_lost(state, job, produced)):
        raise errors.AttemptTaken(command.job, job.attempt)
    _rest_on_those_above(state, job)
    begun = _begun(job.attempt + 1, command.holder, command.happened_at)
    yield _told(state, job.uuid, begun)


def _go_on(
    state: State, job: Job, produced: Produced, command: TakeUpJob, number: int
) -> Iterator[Change]:
    """Begin an attempt of which the ledger does not know, because it was restored."""
    is_own = _instance(produced.holder) == command.holder.instance
    if number == job.attempt and is_own:
        return
    if number <= job.attempt:
        raise errors.AttemptReplaced(job.uuid, number, job.attempt)
    yield _told(state, job.uuid, _begun(number, command.holder, command.happened_at))


def _is_lost(state: State, job: Job, produced: Produced) -> bool:
    """Return whether the attempt is lost, and rest on it if no event says so."""
    if job.lost or produced.losses < LOSSES_TOLD:
        return job.lost
    lease = state.lease(job.uuid)
    return lease is not None and lease.awaits == "return" and state.is_due(job.uuid, lease.due)


def report_progress(
    command: ReportProgress, state: State, environment: Environment
) -> Iterator[Change]:
    """Record how far an attempt is; if it was lost and reports live, it has returned."""
    report = command.report
    if not command.buffered:
        yield from _return(state, command.job, report.attempt)
    _working(state, command.job, report.attempt)
    _, produced = _known(state, command.job)
    shown = None if report.stale else produced.shown
    yield _told(state, command.job, replace(report, percent=percent(report, shown)))


def return_attempt(
    command: ReturnAttempt, state: State, environment: Environment
) -> Iterator[Change]:
    yield from _return(state, command.job, command.attempt)
    job, produced = _known(state, command.job)
    if produced.losses >= LOSSES_TOLD:  # its last loss may be in no event
        yield expected(job, produced, state.now)


def _return(state: State, uuid: str, attempt: int) -> Iterator[Change]:
    """Record the return of an attempt that is lost; whoever abandons a job above it hears of it."""
    job = _working(state, uuid, attempt)
    if job.parent is not None and (job.lost or _losses(job) >= LOSSES_TOLD):
        state.guard(job.root)
    if job.lost:
        yield _fact(uuid, JobAttemptReturned(attempt))


def _losses(job: Job) -> int:
    return 0 if job.produced is None else job.produced.losses


def lose_producer(
    command: LoseProducer, state: State, environment: Environment
) -> Iterator[Change]:
    """Record a loss once, and only the first ones of an attempt; a report takes it back."""
    job = _working(state, command.job, command.attempt)
    _, produced = _known(state, command.job)
    if not _is_due(state, command):
        return
    last = command.last
    if last is not None:
        _check_attempt(job, last.attempt)
        last = replace(last, percent=percent(last, produced.shown))
    if not job.lost and produced.losses < LOSSES_TOLD:
        yield _fact(job.uuid, JobAttemptLost(command.attempt, last))
    elif not job.lost and command.due is not None:
        yield lost(job, produced, state.now)


def _is_due(state: State, command: LoseProducer | AbandonJob) -> bool:
    """Return whether nothing was heard of the job, as far as the caller goes by that."""
    return command.due is None or state.is_due(command.job, command.due)


def fail_attempt(command: FailAttempt, state: State, environment: Environment) -> Iterator[Change]:
    _check_reason(command.failed)
    job, produced = _running(state, command.job)
    _check_attempt(job, command.failed.attempt)
    if not produced.queued:  # else it has failed already
        yield _told(state, job.uuid, command.failed)


def end_job(command: EndJob, state: State, environment: Environment) -> Iterator[Change]:
    """End the job, unless it has ended so; the end of one that was abandoned comes late.

    Raise `JobForced` if an operator has ended it, `EndedOtherwise`, `AttemptReplaced`,
    `ReasonReserved`, `ChildrenRunning`.
    """
    _check_reason(command.end)
    job, produced = _known(state, command.job)
    if job.state != "started":
        yield from _say_again(state, job, produced, command)
        return
    _check_attempt(job, command.attempt)
    if command.alone:
        _check_alone(state, job)
    yield from _end(state, job.uuid, command.end)


def _check_alone(state: State, job: Job) -> None:
    """Check that nobody works on a job below. Whoever registers another meets the end of this."""
    running = _working_below(state, job)
    if running:
        raise errors.ChildrenRunning(job.uuid, running)


def _check_reason(said: End | JobAttemptFailed) -> None:
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
        _check_attempt(job, command.attempt)
    if produced.was_given_up and produced.late is None:
        yield _told(state, job.uuid, _late(command.attempt, end, said, state.now))
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


def request_cancel(
    command: RequestCancel, state: State, environment: Environment
) -> Iterator[Change]:
    """Ask the job to stop. One that nobody works on ends at once, and a group is sealed.

    That holds also for a job that was asked before its attempt failed.
    """
    job, produced = _running(state, command.job, command.owner)
    if not (produced.registered.cancellable or produced.queued):
        host = None if produced.holder is None else produced.holder.host
        raise errors.NotCancellable(job.uuid, host)
    if produced.cancel is None:
        yield _fact(job.uuid, command.request)
    if produced.queued:
        yield from _end(state, job.uuid, JobCancelled("requested", state.now))
    elif produced.is_group:
        yield from _seal(state, job.uuid)


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
        yield from _end(state, job.uuid, JobCancelled("requested", state.now))
        return
    if job.produced.cancel is None:
        yield _fact(job.uuid, JobCancelRequested(stop.left_s(state.now)))
    yield from _seal(state, job.uuid)


def see_cancel(command: SeeCancel, state: State, environment: Environment) -> Iterator[Change]:
    _working(state, command.job, command.attempt)
    _, produced = _known(state, command.job)
    if produced.cancel_seen is None:
        yield _fact(command.job, JobCancelSeen(command.attempt))


def force_end(command: ForceEnd, state: State, environment: Environment) -> Iterator[Change]:
    """End the record: as lost, if the producer has fallen silent, else as cancelled by force.

    Raise `GraceNotOver` while the producer may still obey.
    """
    job, produced = _running(state, command.job, command.owner)
    if _is_lost(state, job, produced):
        yield from _end(state, job.uuid, _abandoned("it was ended while its producer was silent"))
        return
    asked = asked_to_stop(job, state.job)
    if asked is None:
        raise errors.GraceNotOver(job.uuid, None)
    if state.now < asked.until:
        raise errors.GraceNotOver(job.uuid, max(1, asked.left_s(state.now)))
    yield from _end(state, job.uuid, JobCancelled("forced", state.now))


def seal_job(command: SealJob, state: State, environment: Environment) -> Iterator[Change]:
    job, produced = _known(state, command.job, command.owner)
    if not produced.is_group:
        raise errors.NotAGroup(job.uuid)
    if not produced.sealed:
        yield from _seal(state, job.uuid)


def _seal(state: State, group: str) -> Iterator[Change]:
    """Seal the group, unless it is; end it if nothing below it runs."""
    _, produced = _running(state, group)
    if not produced.sealed:
        yield _fact(group, JobSealed())
    yield from _settle(state, group)


def abandon_job(command: AbandonJob, state: State, environment: Environment) -> Iterator[Change]:
    """End a job from which nothing is expected any more, unless there is news of it.

    It stays while somebody works on one below it.
    """
    job, produced = _running(state, command.job)
    if command.attempt != job.attempt or not _is_due(state, command):
        return
    if produced.queued:
        yield from _end(state, job.uuid, JobFailed("nobody took it up", "expired", state.now))
        return
    if produced.is_group:
        can_be, error = not produced.sealed, _seen_of(job, produced) or "nobody sealed it"
    else:
        can_be, error = job.lost or _is_lost_unrecorded(produced), "its producer fell silent"
    if can_be and _working_below(state, job):
        yield awaited_again(job, produced, state.now, _look_again_s(produced))
    elif can_be:
        yield from _end(state, job.uuid, _abandoned(error))


def remove_texts(command: RemoveTexts, state: State, environment: Environment) -> Iterator[Change]:
    """Remove the words beside the job; record it if an event has any.

    Words of a report that is no event lie beside the job, too. Raise `JobNotFound`, `JobDiscarded`.
    """
    job = own_job(state, command.job, command.owner)
    if job.produced is not None and job.produced.has_texts:
        yield _fact(job.uuid, JobTextsRemoved())
    yield DropTexts((job.uuid,))


def _working_below(state: State, job: Job) -> int:
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


def _look_again_s(produced: Produced) -> float:
    return min(produced.registered.limits.abandon_after_s / 10, LOOK_AGAIN_S)


def _is_lost_unrecorded(produced: Produced) -> bool:
    """Whether only the caller can know that the attempt is lost: no event would say so."""
    return produced.losses >= LOSSES_TOLD or produced.registered.limits.lease_s is None


def _abandoned(error: str) -> JobFailed:
    return JobFailed(error, "lost")


def _end(state: State, uuid: str, end: End) -> Iterator[Change]:
    """End the job, and tell the group above, which may end with it. A job above does not."""
    job, _ = _known(state, uuid)
    yield _told(state, uuid, end)
    if job.parent is None:
        return
    parent = state.job(job.parent)
    assert parent is not None, f"there is no parent {job.parent}"
    assert parent.produced is not None, f"parent {job.parent} is no producer's job"
    if not parent.produced.is_group or parent.state != "started":
        return
    yield _fact(job.parent, ChildEnded(uuid, ENDINGS[type(end)]))
    yield from _settle(state, job.parent)


def _settle(state: State, uuid: str) -> Iterator[Change]:
    """End a group that is sealed and below which nothing runs, as its sub-jobs ended."""
    group, produced = _known(state, uuid)
    if produced.sealed and not group.children.running:
        yield from _end(state, uuid, _end_of_group(group, produced, state))


def _end_of_group(group: Job, produced: Produced, state: State) -> End:
    """Return its end. Sub-jobs that a request has kept from coming count as cancelled."""
    tolerated, children = produced.registered.tolerate, group.children
    missing, asked = _seen_of(group, produced), produced.cancel is not None
    if missing is not None and not asked and "missing" not in tolerated:
        return JobFailed(missing, "lost", state.now)
    if children.failed and "failed" not in tolerated:
        return JobFailed(f"{children.failed} of {len(children)} failed", "children", state.now)
    cancelled = children.cancelled or (asked and (missing is not None or not children))
    if cancelled and "cancelled" not in tolerated:
        return JobCancelled("requested" if asked else None, state.now)
    return JobSucceeded(state.now)


def _seen_of(group: Job, produced: Produced) -> str | None:
    """Return in words that sub-jobs of the group never came; None if all came."""
    expected, seen = produced.registered.expect_children, len(group.children)
    if expected is None or seen >= expected:
        return None
    return f"expected {expected}, saw {seen}"


def _known(state: State, uuid: str, owner: str | None = None) -> tuple[Job, Produced]:
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


def _running(state: State, uuid: str, owner: str | None = None) -> tuple[Job, Produced]:
    job, produced = _known(state, uuid, owner)
    if job.state != "started":
        raise JobOver(uuid, job.state)
    return job, produced


def _working(state: State, uuid: str, attempt: int) -> Job:
    """Return the running job that this attempt works on."""
    job, produced = _running(state, uuid)
    _check_attempt(job, attempt)
    if produced.queued:
        raise errors.NobodyWorks(uuid)
    return job


def _begun(attempt: int, holder: Holder, happened_at: datetime | None) -> JobAttemptStarted:
    return JobAttemptStarted(attempt, holder=holder, happened_at=happened_at)


def _check_attempt(job: Job, attempt: int) -> None:
    """Check that the attempt is the last one of the job."""
    if job.attempt == 0:
        raise errors.NobodyWorks(job.uuid)
    if attempt != job.attempt:
        raise errors.AttemptReplaced(job.uuid, attempt, job.attempt)


def _told(state: State, uuid: str, event: Told) -> Fact:
    """Return the event as one that happened by now, and not before the one told of before it."""
    _, produced = _known(state, uuid)
    happened_at = event.happened_at
    if happened_at is None or (isinstance(event, ProgressReported) and event.stale):
        return _fact(uuid, event)
    happened_at = min(state.now, max(happened_at, produced.said_at))
    return _fact(uuid, replace(event, happened_at=happened_at))


def _fact(uuid: str, event: Event) -> Fact:
    return Fact(job_stream(uuid), event)
