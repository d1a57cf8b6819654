"""The job as `/api/v1` shows it everywhere, and the one place that makes it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from msgspec import UNSET, Meta, UnsetType

from api.http.fields import Count, Representation, Time, Uuid, about
from api.v1.stopping.stops import Cancel
from ledger.domain.aggregates.produced import Produced
from ledger.domain.events.producers import (
    Exit,
    Limits,
    Link,
    Outcome,
    ProgressReported,
    Subject,
    TotalIs,
)
from ledger.domain.producers.conditions import ConditionType, State
from ledger.domain.producers.texts import ERROR, MESSAGE, RESULT, TAIL, TITLE
from ledger.leases.figures import Pace, pace_of
from ledger.leases.reports import Live as LiveAttempt
from ledger.store.parameters import timestamp, timestamp_or_none
from projections.views.producers.jobs import ShownJob

COMPLETE = 100


class JobCondition(Representation, frozen=True):
    type: ConditionType
    since: Time


class JobAttempt(Representation, frozen=True):
    """The current attempt, or the last; its times are as its process has told of them."""

    n: int
    host: str | None
    pid: int | None
    agent: Annotated[str | None, about("The program that reports, as job-ledger-sdk/1.0")]
    started_at: Time | None
    last_heard_at: Time | None


class JobProgress(Representation, frozen=True):
    """How far the attempt is, as it was said; `percent` is what is shown of it."""

    done: int | None
    total: int | None
    unit: str
    total_is: TotalIs
    percent: Annotated[int, Meta(ge=0, le=COMPLETE)] | None
    rate_per_s: float | None
    left_s: float | None
    moved_at: Time | None


class JobPhase(Representation, frozen=True):
    name: str
    n: int | None
    of: int | None


class JobItems(Representation, frozen=True):
    ok: Count
    failed: Count
    skipped: Count
    total: Count | None


class ExpectedDuration(Representation, frozen=True):
    """How long the last successes of the series took: half of them, and nine of ten."""

    p50: float | None
    p90: float | None


class JobChildren(Representation, frozen=True):
    """How many jobs are directly below it; `GET /api/v1/jobs?parent=` lists them."""

    total: Count
    running: Count
    succeeded: Count
    failed: Count
    cancelled: Count


class JobError(Representation, frozen=True):
    type: str | None
    message: str | None
    retryable: bool | None
    tail: str | None


class JobExit(Representation, frozen=True):
    code: int | None
    signal: str | None


class JobLink(Representation, frozen=True):
    rel: str
    href: str


class JobSubject(Representation, frozen=True):
    uri: str
    role: str


class JobLimits(Representation, frozen=True):
    """The limits that hold, in seconds; null where there is none."""

    lease_s: int | None
    deadline_s: int | None
    abandon_after_s: int
    queue_s: int


class Job(Representation, frozen=True):
    """A job. Go by `done`, not by a list of states: states and fields may be added."""

    uuid: Uuid
    operation: str
    title: str | None
    source: str | None
    external_id: str | None
    series: str | None
    labels: dict[str, str]
    state: State
    done: bool
    conditions: tuple[JobCondition, ...]
    outcome: Outcome | None
    reason: str | None
    late: Outcome | None
    attempt: JobAttempt | None
    progress: JobProgress | None
    items: JobItems | None
    phase: JobPhase | None
    message: str | None
    expected_s: ExpectedDuration
    parent: Uuid | None
    root: Uuid
    children: JobChildren
    ends: Literal["self", "children"]
    sealed: bool
    cancellable: bool
    cancel: Cancel | None
    error: JobError | None
    exit: JobExit | None
    limits: JobLimits | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    changed_at: Time
    retry_at: Time | None
    version: int
    rerun_of: str | None
    was_below: str | None
    traceparent: str | None
    subjects: tuple[JobSubject, ...]
    links: tuple[JobLink, ...]
    result: Annotated[
        Any | UnsetType,
        about("As the end said it; text of its beginning if it was too long. Lists leave it out."),
    ] = UNSET


class Live(NamedTuple):
    """What is shown of a job and not recorded with it."""

    cancel: Cancel | None = None
    expected: ExpectedDuration = ExpectedDuration(None, None)
    attempt: LiveAttempt | None = None


NOTHING_LIVE = Live()


def represent(shown: ShownJob, live: Live = NOTHING_LIVE) -> Job:
    """Return the job as it is shown; one of ours has nothing that only producers say."""
    row, produced = shown.job, shown.produced
    registered = None if produced is None else produced.registered
    outcome, said = _outcome(shown), _said(produced, live.attempt)
    return Job(
        uuid=row.uuid,
        operation=row.operation,
        title=shown.texts.get(TITLE),
        source=None if registered is None else registered.source or None,
        external_id=None if registered is None else registered.external_id,
        series=None if registered is None else registered.series,
        labels=dict(shown.labels),
        state=shown.state,
        done=row.ended is not None,
        conditions=tuple(_conditions(shown, live)),
        outcome=outcome,
        reason=None if produced is None else produced.reason,
        late=None if produced is None else produced.late,
        attempt=_attempt(produced, live.attempt),
        progress=_progress(produced, said, outcome, live.attempt),
        items=_items(said),
        phase=_phase(said),
        message=_message(shown, said, live.attempt),
        expected_s=live.expected,
        parent=row.parent,
        root=row.root,
        children=JobChildren(*shown.children),
        ends="self" if registered is None else registered.ends,
        sealed=produced is not None and produced.sealed,
        cancellable=registered is None or registered.cancellable,
        cancel=live.cancel,
        error=_error(shown),
        exit=None if produced is None else _exit(produced.exit),
        limits=None if registered is None else limits_of(registered.limits),
        created_at=row.created,
        started_at=row.began if produced is None else timestamp_or_none(produced.started_at),
        ended_at=row.ended,
        changed_at=row.last_modified,
        retry_at=None if produced is None else timestamp_or_none(produced.retry_at),
        version=shown.version,
        rerun_of=None if registered is None else registered.rerun_of,
        was_below=None if registered is None else registered.was_below,
        traceparent=None if registered is None else registered.trace,
        subjects=_subjects(registered.subjects if registered else ()),
        links=_links(registered.links if registered else ()),
        result=_result(shown),
    )


def limits_of(limits: Limits) -> JobLimits:
    return JobLimits(limits.lease_s, limits.deadline_s, limits.abandon_after_s, limits.queue_s)


def _outcome(shown: ShownJob) -> Outcome | None:
    match shown.state:
        case "queued" | "running":
            return None
        case outcome:
            return outcome


def _said(produced: Produced | None, live: LiveAttempt | None) -> ProgressReported | None:
    """Return how things stand by the newest report, which may be no event."""
    if live is not None and live.figures is not None:
        return live.figures.report
    return None if produced is None else produced.reported


def _conditions(shown: ShownJob, live: Live) -> Iterator[JobCondition]:
    """Yield what is recorded, what only the lease says, and what follows from a job above."""
    recorded, attempt = {each.type for each in shown.conditions}, live.attempt
    for each in shown.conditions:
        yield JobCondition(each.type, timestamp(each.since))
    if attempt is not None and attempt.lost is not None and "lost" not in recorded:
        yield JobCondition("lost", timestamp(attempt.lost))
    if attempt is not None and attempt.waiting is not None and "waiting" not in recorded:
        yield JobCondition("waiting", timestamp(attempt.waiting.since))
    stop = live.cancel if shown.job.ended is None else None
    if stop is not None and "cancel_requested" not in recorded:
        yield JobCondition("cancel_requested", stop.requested_at)


def _attempt(produced: Produced | None, live: LiveAttempt | None) -> JobAttempt | None:
    if produced is None or produced.attempt == 0:
        return None
    holder, reported = produced.holder, produced.reported
    heard = None if live is None else live.heard
    if heard is None:
        heard = produced.began if reported is None else reported.happened_at
    return JobAttempt(
        n=produced.attempt,
        host=None if holder is None else holder.host,
        pid=None if holder is None else holder.pid,
        agent=None if holder is None else holder.agent,
        started_at=timestamp_or_none(produced.began),
        last_heard_at=timestamp_or_none(heard),
    )


def _progress(
    produced: Produced | None,
    said: ProgressReported | None,
    outcome: Outcome | None,
    live: LiveAttempt | None,
) -> JobProgress | None:
    if produced is None or said is None:
        return None
    pace = Pace() if live is None or live.figures is None else pace_of(live.figures)
    reported, moved_at = produced.reported, produced.moved_at
    if reported is None or reported.done != said.done:
        moved_at = said.happened_at
    return JobProgress(
        done=said.done,
        total=said.total,
        unit=said.unit,
        total_is=said.total_is,
        percent=COMPLETE if outcome in ("succeeded", "skipped") else said.percent,
        rate_per_s=pace.rate_per_s,
        left_s=pace.left_s,
        moved_at=timestamp_or_none(moved_at),
    )


def _items(said: ProgressReported | None) -> JobItems | None:
    if said is None or said.items is None:
        return None
    items = said.items
    return JobItems(items.ok, items.failed, items.skipped, items.total)


def _phase(said: ProgressReported | None) -> JobPhase | None:
    if said is None or said.phase is None:
        return None
    phase = said.phase
    return JobPhase(phase.name, phase.n, phase.of)


def _message(
    shown: ShownJob, said: ProgressReported | None, live: LiveAttempt | None
) -> str | None:
    """Return the last message of the phase that the job is in."""
    if live is not None and live.figures is not None and live.figures.message:
        return live.figures.message
    phase = None if said is None else said.phase
    return shown.texts.get(MESSAGE if phase is None else f"{MESSAGE}/{phase.name}")


def _error(shown: ShownJob) -> JobError | None:
    """Return what went wrong; also of an attempt that failed, while the next is waited for.

    The service has words of its own for what no producer has said.
    """
    produced, ours = shown.produced, shown.job.error
    if produced is None:
        return None if ours is None else JobError(None, ours, None, None)
    named, tail = produced.error_type, shown.texts.get(TAIL)
    message = shown.texts.get(ERROR) or (None if ours == named else ours)
    is_over_it = shown.state in ("running", "succeeded", "skipped")
    if is_over_it or not (named or message or tail):
        return None
    return JobError(named, message, produced.retryable, tail)


def _result(shown: ShownJob) -> Any:
    """Return the result of the job; what was cut is no JSON any more, and shown as text."""
    said = shown.texts.get(RESULT)
    if said is None:
        return None
    try:
        return orjson.loads(said)
    except orjson.JSONDecodeError:
        return said


def _exit(said: Exit | None) -> JobExit | None:
    return None if said is None else JobExit(said.code, said.signal)


def _subjects(given: tuple[Subject, ...]) -> tuple[JobSubject, ...]:
    return tuple(JobSubject(each.uri, each.role) for each in given)


def _links(given: tuple[Link, ...]) -> tuple[JobLink, ...]:
    return tuple(JobLink(each.rel, each.href) for each in given)
