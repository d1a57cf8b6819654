"""`POST /api/v1/jobs/{uuid}/end`: how a job ended, or only an attempt at it."""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, assert_never

import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from api.http.requests import owner_of
from api.service.service import Service
from api.text.wording import Wording
from api.v1.bodies import END_BYTES, Strict, finite, read_strictly
from api.v1.given import GivenError, GivenExit, Json, Moment, exit_of, happened_at
from api.v1.problems import Problem, bad_value
from api.v1.recording import JobDoors
from ledger.domain.errors.producers import AttemptReplaced
from ledger.domain.events.jobs import JobCancelled, JobFailed, JobSucceeded
from ledger.domain.events.producers import (
    CancelReason,
    FailureReason,
    JobAttemptFailed,
    JobSkipped,
    Outcome,
)
from ledger.domain.producers.commands import End, EndJob, FailAttempt
from ledger.domain.producers.texts import END_MOST, ERROR_MOST, TAIL_MOST

Reason = FailureReason | CancelReason
_WHY_FAILED = ("program", "signal", "deadline")
_WHY_CANCELLED = ("requested", "interrupted")


class NewEnd(Strict, frozen=True):
    """How the work ended. Without `reason`, it failed by itself, or was interrupted."""

    outcome: Outcome
    reason: Reason | None = None
    exit: GivenExit | None = None
    error: GivenError | None = None
    result: Json | UnsetType = UNSET
    children: Literal["cancel", "require"] | None = None


class JobEnd(NewEnd, frozen=True):
    """The end of a job, or, with `final: false`, of an attempt that failed and may be repeated."""

    attempt: Annotated[int, Meta(ge=1)] | None = None
    final: bool = True
    retry_at: Moment | None = None
    buffered: bool = False
    observed_at: Moment | None = None
    sent_at: Moment | None = None


class Said(NamedTuple):
    """An end as it is to be recorded, and its words."""

    end: End
    wording: Wording


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
    return Said(end, wording)


def _json(result: Any) -> str | None:
    if result is UNSET or result is None:
        return None
    return orjson.dumps(finite(result)).decode()


def _check_reason(given: NewEnd) -> None:
    """Refuse the reason of another outcome. Those that only the service gives are refused later."""
    reason, outcome = given.reason, given.outcome
    wrong = (
        (reason in _WHY_FAILED and outcome != "failed")
        or (reason in _WHY_CANCELLED and outcome != "cancelled")
        or (reason is not None and outcome in ("succeeded", "skipped"))
    )
    if wrong:
        raise bad_value("reason", f"{reason} is no reason of what has {outcome}")


def _why_failed(given: NewEnd) -> FailureReason: ...
