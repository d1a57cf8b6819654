"""Bodies that report the end of a job or of an attempt, and the events they become."""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, assert_never

import orjson
from msgspec import UNSET, Meta, UnsetType

from api.text.wording import Wording
from api.v1.bodies import Strict, writable
from api.v1.fields import (
    BUFFERED,
    GivenError,
    GivenExit,
    Json,
    Moment,
    exit_of,
    wanted_at,
)
from api.v1.problems import bad_value
from ledger.domain.events.jobs import JobCancelled, JobFailed, JobSucceeded
from ledger.domain.events.producers import (
    CancelReason,
    FailureReason,
    JobAttemptFailed,
    JobSkipped,
    Outcome,
)
from ledger.domain.producers.commands import End, FailAttempt
from ledger.domain.producers.texts import END_MOST, ERROR_MOST, TAIL_MOST, Words

_OF_FAILURES = ("program", "signal", "deadline")
_OF_CANCELLATIONS = ("requested", "interrupted")


class NewEnd(Strict, frozen=True):
    """How the work ended. Without a reason, a program failed by itself, or was interrupted."""

    outcome: Outcome
    reason: FailureReason | CancelReason | None = None
    exit: GivenExit | None = None
    error: GivenError | None = None
    result: Annotated[Json, Meta(description="Any JSON.")] | UnsetType = UNSET
    children: Literal["cancel", "require"] | None = None


class JobEnd(NewEnd, frozen=True):
    """The end of a job; with `final: false` that of an attempt which another may follow."""

    attempt: Annotated[int, Meta(ge=1)] | None = None
    final: bool = True
    retry_at: Moment | None = None
    buffered: Annotated[bool, Meta(description=BUFFERED)] = False
    observed_at: Moment | None = None
    sent_at: Moment | None = None


class Said(NamedTuple):
    """An end as it is to be recorded, and the words that lie beside it."""

    end: End
    words: tuple[Words, ...]


def end_of(given: NewEnd, at: datetime) -> Said:
    """Return the end that a producer says. Raise `bad-value` for a reason of another outcome."""
    _check_reason(given)
    wording = Wording(left=END_MOST)
    error = given.error or GivenError()
    exit_ = exit_of(given.exit)
    message = wording.text(error.message, ERROR_MOST)
    tail = wording.text(error.tail, TAIL_MOST) if given.outcome == "failed" else None
    result = wording.text(_json(given.result), END_MOST)
    end: End
    match given.outcome:
        case "succeeded":
            end = JobSucceeded(at, exit_, result, stops_below=given.children == "cancel")
        case "skipped":
            end = JobSkipped(at, result)
        case "failed":
            end = JobFailed(
                reason=_why_failed(given),
                happened_at=at,
                error_type=error.type,
                message=message,
                exit=exit_,
                result=result,
                retryable=error.retryable,
                tail=tail,
            )
        case "cancelled":
            end = JobCancelled(_why_cancelled(given), at, message, exit_, result)
        case _:
            assert_never(given.outcome)
    return Said(end, wording.words)


def failure_of(
    given: JobEnd, job: str, attempt: int, at: datetime, received_at: datetime
) -> FailAttempt:
    """Return the failure of an attempt. Raise `bad-value` if it is none."""
    said = end_of(given, at)
    failed = said.end
    if not isinstance(failed, JobFailed):
        raise bad_value("final", "only a failure may be followed by another attempt")
    event = JobAttemptFailed(
        attempt,
        at,
        retry_at=_retry_at(given, received_at),
        error_type=failed.error_type,
        message=failed.message,
        exit=failed.exit,
        reason=failed.reason,
        tail=failed.tail,
    )
    return FailAttempt(job, event, said.words)


def _json(result: Any) -> str | None:
    if result is UNSET or result is None:
        return None
    return orjson.dumps(writable(result)).decode()


def _check_reason(given: NewEnd) -> None:
    """Refuse the reason of another outcome; those that only the service gives are refused later."""
    reason, outcome = given.reason, given.outcome
    if reason is None:
        return
    is_wrong = (
        outcome in ("succeeded", "skipped")
        or (reason in _OF_FAILURES and outcome != "failed")
        or (reason in _OF_CANCELLATIONS and outcome != "cancelled")
    )
    if is_wrong:
        raise bad_value("reason", f"{reason} is no reason of what has {outcome}")


def _why_failed(given: NewEnd) -> FailureReason:
    match given.reason:
        case "program" | "signal" | "deadline" | "lost" | "expired" | "children":
            return given.reason
        case _:
            by_signal = given.exit is not None and given.exit.signal is not None
            return "signal" if by_signal else "program"


def _why_cancelled(given: NewEnd) -> CancelReason:
    match given.reason:
        case "requested" | "interrupted" | "forced":
            return given.reason
        case _:
            return "interrupted"


def _retry_at(given: JobEnd, received_at: datetime) -> datetime | None:
    if given.retry_at is None:
        return None
    return wanted_at(given.retry_at, given.sent_at, received_at)
