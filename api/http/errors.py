"""Errors as clients see them: each gets its status here, and is answered with a JSON list.

Below another root of the API they may have another shape.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from api.accounts.grants import ScopeMissing
from api.accounts.service import LoginRefused, TooManyAttempts
from api.service.admission import TooMuch
from ledger.archives import BadArchive
from ledger.domain.errors import Expected, Invalid, NotFound, Refusal, WrongState
from ledger.domain.errors.pools import NoPools, NotMeasured, PoolsFull, PoolSilent
from ledger.domain.errors.quotas import LedgerBytesSpent, QuotaExceeded, TooManyUploads
from ledger.domain.errors.store import (
    ConcurrentChange,
    NoStoreTime,
    ReadCut,
    StoreFailed,
    StoreFull,
)
from ledger.domain.errors.uploads import ChunkPresent
from ledger.images.errors import ImageMissing, NotRegular, PoolFull, PoolMissing
from ledger.images.pool_thread import SILENCE_S
from ledger.proofs.tree import LeavesArchived
from ledger.workers.worker_registry import REFRESH_S

ErrorType = Literal["validation", "notexist", "permission", "concurrency", "backend", "quota"]

RequestStatus = Literal[400, 403, 406, 408, 411, 412, 413, 415, 416, 417, 422, 426]
"""The statuses of requests that are bad, whatever the ledger holds."""

REFUSAL = "X-Ledger-Refusal"
"""Says what a 403 is about: what the account may do, or have, or the state that things are in."""
Refused = Literal["permission", "quota", "state"]

_TYPES: dict[int, ErrorType] = {401: "permission", 403: "permission", 404: "notexist"}
UPLOADS_RETRY_S = 60

log = logging.getLogger(__name__)


class Error(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client is told of an error."""

    error_type: ErrorType
    error_message: Annotated[str, Meta(min_length=1)]
    error_point: Annotated[str | None, Meta(description="The field or parameter at fault.")]


class RequestRefused(Expected):
    """The request itself is bad, whatever the ledger holds; `point` names the field."""

    def __init__(
        self,
        status: RequestStatus,
        message: str,
        *,
        point: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.point = point
        self.headers = headers

    @property
    def error_type(self) -> ErrorType:
        return _TYPES.get(self.status, "validation")


class BadRequest(RequestRefused):
    """A value is not acceptable, or the body is not JSON."""

    def __init__(self, message: str, *, point: str | None = None) -> None:
        super().__init__(400, message, point=point)


class TooLong(RequestRefused):
    """The body has more bytes than that of such a request may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the request body is longer than {limit} bytes")
        self.limit = limit


class Forbidden(RequestRefused):
    """The account or the link may not do this, or the session's CSRF token is wrong."""

    def __init__(
        self, message: str, *, point: str | None = None, why: Refused = "permission"
    ) -> None:
        super().__init__(403, message, point=point, headers=_refused(why))


def _refused(why: Refused) -> dict[str, str]:
    return {REFUSAL: why}


def error_answer(
    status: int, error_type: ErrorType, message: str, *, point: str | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode([Error(error_type, message, point)]),
        content_type="application/json",
        charset="utf-8",
    )


def unknown_error(advice: str = "") -> web.Response:
    """Answer to an unexpected error; the log has the details."""
    return error_answer(500, "backend", f"unknown error: {advice}" if advice else "unknown error")


class _Answer(NamedTuple):
    """How an error is answered: in its own words, unless there are others for clients."""

    status: int
    error_type: ErrorType
    words: str = ""
    refused: Refused | None = None
    retry_after_s: float | None = None


_ANSWERS: Mapping[type[Exception], _Answer] = {
    LoginRefused: _Answer(401, "permission", "credentials are missing or wrong"),
    TooManyAttempts: _Answer(429, "permission"),
    ScopeMissing: _Answer(403, "permission", refused="permission"),
    TooMuch: _Answer(429, "quota"),
    TooManyUploads: _Answer(429, "quota", retry_after_s=UPLOADS_RETRY_S),
    QuotaExceeded: _Answer(403, "quota", refused="quota"),
    LedgerBytesSpent: _Answer(507, "quota"),
    NotFound: _Answer(404, "notexist"),
    WrongState: _Answer(403, "permission", refused="state"),
    Invalid: _Answer(400, "validation"),
    ChunkPresent: _Answer(416, "validation"),
    ConcurrentChange: _Answer(503, "concurrency"),
    PoolMissing: _Answer(503, "backend", "the pool of the image is not mounted on this node"),
    ImageMissing: _Answer(503, "backend", "the image cannot be reached; try again later"),
    NotRegular: _Answer(503, "backend", "the image cannot be reached; try again later"),
    PoolFull: _Answer(
        507, "backend", "the pool has no room for the image: delete drives in it, and try again"
    ),
    PoolsFull: _Answer(507, "backend"),
    NoPools: _Answer(503, "backend", retry_after_s=REFRESH_S),
    PoolSilent: _Answer(503, "backend", retry_after_s=SILENCE_S),
    NotMeasured: _Answer(503, "backend", retry_after_s=SILENCE_S),
    NoStoreTime: _Answer(503, "backend"),
    ReadCut: _Answer(503, "backend"),
    StoreFull: _Answer(507, "backend"),
    LeavesArchived: _Answer(404, "notexist"),
    BadArchive: _Answer(503, "backend", "an archive of the ledger cannot be read"),
}
"""The answer to each kind of error; a kind that is missing has the answer of its base."""


def answer_to(error: Expected | web.HTTPException, advice: str = "") -> web.Response:
    """Return the answer to an error: the one place where errors get their HTTP status.

    `advice` is what an error of the service says of a change, and what to do. An error without a
    status is answered like an unexpected one.
    """
    if isinstance(error, web.HTTPException):
        return _answer_to_http(error)
    if isinstance(error, RequestRefused):
        answer = error_answer(error.status, error.error_type, str(error), point=error.point)
        answer.headers.update(error.headers)
        return answer
    if isinstance(error, BadArchive):
        log.error("an archive is damaged", exc_info=error)
    found = next((_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS), None)
    if found is not None:
        return _answer_as(found, error)
    if isinstance(error, StoreFailed):
        told = f"the ledger cannot be reached: {advice or 'try again later'}"
        return error_answer(503, "backend", told)
    log.error("an error has no status", exc_info=error)
    return unknown_error(advice)


def _answer_as(kind: _Answer, error: Expected) -> web.Response:
    point = error.point if isinstance(error, Refusal) else None
    answer = error_answer(kind.status, kind.error_type, kind.words or str(error), point=point)
    retry_after_s = kind.retry_after_s
    if isinstance(error, TooManyAttempts | TooMuch):
        retry_after_s = error.retry_after_s
    if retry_after_s is not None:
        answer.headers["Retry-After"] = f"{retry_after_s:.0f}"
    if kind.refused is not None:
        answer.headers.update(_refused(kind.refused))
    if kind.status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Basic realm="users"'
    return answer


def _answer_to_http(error: web.HTTPException) -> web.Response:
    """Return the answer to the router's errors: no such URL, or not with this method."""
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = sorted(error.allowed_methods | {"OPTIONS"})
            message = f"method {error.method} is not allowed on this URL, only {', '.join(allowed)}"
            answer = error_answer(405, "validation", message)
            answer.headers["Allow"] = ",".join(allowed)
            return answer
        case web.HTTPNotFound():
            return error_answer(404, "notexist", "there is nothing at this URL")
        case _:
            return error_answer(error.status, "validation", HTTPStatus(error.status).phrase)


ErrorAnswer = Callable[[Exception, str], web.Response]
"""Answers an error, with what it says of a change and what to do; "" for a mere read."""

ERROR_ANSWERS = web.AppKey("error-answers", dict[str, ErrorAnswer])
"""By the root of the URLs whose errors they answer; all others are a JSON list."""


def error_answer_for(request: web.Request) -> ErrorAnswer:
    """Return what answers the errors of a request."""
    for root, answer in request.app[ERROR_ANSWERS].items():
        if request.path == root or request.path.startswith(f"{root}/"):
            return answer
    return answer_any


def answer_any(error: Exception, advice: str) -> web.Response:
    """Answer any error with a JSON list."""
    if isinstance(error, Expected | web.HTTPException):
        return answer_to(error, advice)
    return unknown_error(advice)
