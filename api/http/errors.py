"""Errors as clients see them: each gets its status here, and is answered with a JSON list."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Literal

import orjson
from aiohttp import web

from api.accounts.service import LoginRefused, TooManyAttempts
from api.service.admission import TooMuch
from ledger.archives import BadArchive
from ledger.domain.errors import (
    ChunkPresent,
    ConcurrentChange,
    Expected,
    Invalid,
    LedgerBytesSpent,
    NoPools,
    NoStoreTime,
    NotFound,
    PoolsFull,
    QuotaExceeded,
    ReadCut,
    StoreFailed,
    StoreFull,
    TooManyUploads,
    WrongState,
)
from ledger.images.errors import ImageMissing, NotRegular, PoolFull, PoolMissing
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
    error = {"error_type": error_type, "error_message": message, "error_point": point}
    return web.Response(
        status=status,
        body=orjson.dumps([error]),
        content_type="application/json",
        charset="utf-8",
    )


def unknown_error(advice: str = "") -> web.Response:
    """Answer to an unexpected error; the log has the details."""
    return error_answer(500, "backend", f"unknown error: {advice}" if advice else "unknown error")


def answer_to(error: Expected | web.HTTPException, advice: str = "") -> web.Response:
    """Return the answer to an error: the one place where errors get their HTTP status.

    `advice` is what an error of the service says of a change, and what to do. An error without a
    status is answered like an unexpected one.
    """
    match error:
        case RequestRefused():
            answer = error_answer(error.status, error.error_type, str(error), point=error.point)
            answer.headers.update(error.headers)
            return answer
        case LoginRefused():
            answer = error_answer(401, "permission", "credentials are missing or wrong")
            answer.headers["WWW-Authenticate"] = 'Basic realm="users"'
            return answer
        case TooManyAttempts():
            answer = error_answer(429, "permission", str(error))
            answer.headers["Retry-After"] = str(error.retry_after_s)
            return answer
        case TooMuch():
            answer = error_answer(429, "quota", str(error))
            answer.headers["Retry-After"] = str(error.retry_after_s)
            return answer
        case TooManyUploads():
            answer = error_answer(429, "quota", str(error))
            answer.headers["Retry-After"] = str(UPLOADS_RETRY_S)
            return answer
        case QuotaExceeded():
            answer = error_answer(403, "quota", str(error))
            answer.headers.update(_refused("quota"))
            return answer
        case LedgerBytesSpent():
            return error_answer(507, "quota", str(error))
        case NotFound():
            return error_answer(404, "notexist", str(error), point=error.point)
        case WrongState():
            answer = error_answer(403, "permission", str(error), point=error.point)
            answer.headers.update(_refused("state"))
            return answer
        case Invalid():
            return error_answer(400, "validation", str(error), point=error.point)
        case ChunkPresent():
            return error_answer(416, "validation", str(error))
        case ConcurrentChange():
            return error_answer(503, "concurrency", str(error))
        case PoolMissing():
            return error_answer(503, "backend", "the pool of the image is not mounted on this node")
        case ImageMissing() | NotRegular():
            return error_answer(503, "backend", "the image cannot be reached; try again later")
        case PoolFull():
            message = "the pool has no room for the image: delete drives in it, and try again"
            return error_answer(507, "backend", message)
        case PoolsFull():
            return error_answer(507, "backend", str(error), point=error.point)
        case NoPools():
            answer = error_answer(503, "backend", str(error))
            answer.headers["Retry-After"] = f"{REFRESH_S:.0f}"
            return answer
        case NoStoreTime() | ReadCut():
            return error_answer(503, "backend", str(error))
        case StoreFull():
            return error_answer(507, "backend", str(error))
        case StoreFailed():
            told = advice or "try again later"
            return error_answer(503, "backend", f"the ledger cannot be reached: {told}")
        case LeavesArchived():
            return error_answer(404, "notexist", str(error))
        case BadArchive():
            log.error("an archive is damaged", exc_info=error)
            return error_answer(503, "backend", "an archive of the ledger cannot be read")
        case web.HTTPException():
            return _answer_to_http(error)
        case _:
            log.error("an error has no status", exc_info=error)
            return unknown_error(advice)


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
