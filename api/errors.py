"""Errors as clients see them: each gets its status here, and its answer is always a JSON list."""

from http import HTTPStatus
from typing import Literal, assert_never

import orjson
from aiohttp import web

from api.accounts import LoginRefused, TooManyAttempts
from ledger.archives import BadArchive
from ledger.errors import (
    ChunkPresent,
    ConcurrentChange,
    Invalid,
    NotFound,
    StoreFailed,
    WrongState,
)
from ledger.images import ImageMissing, PoolFull, PoolMissing

ErrorType = Literal["validation", "notexist", "permission", "concurrency", "backend"]


class RequestRefused(Exception):
    """The request itself will not do, whatever the ledger holds; `point` names the field."""

    status = 400
    error_type: ErrorType = "validation"

    def __init__(self, message: str, *, point: str | None = None) -> None:
        super().__init__(message)
        self.point = point


class BadRequest(RequestRefused):
    """A value cannot be taken, or the body is no JSON."""


class Forbidden(RequestRefused):
    """The account's role may not do this, or the session's csrf token is missing or wrong."""

    status = 403
    error_type: ErrorType = "permission"


class NotAcceptable(RequestRefused):
    """The client takes none of the formats there are."""

    status = 406


class BodyTooSlow(RequestRefused):
    """The body stopped coming."""

    status = 408


class LengthMissing(RequestRefused):
    """An upload must say how long it is."""

    status = 411


class BodyTooLarge(RequestRefused):
    """The body is longer than any that is taken."""

    status = 413


class BodyEncoded(RequestRefused):
    """The body has an encoding that is not undone.

    An upload must have none: its length would not be the image's.
    """

    status = 415


class NotJson(RequestRefused):
    """The body is declared to be something other than JSON."""

    status = 415


class UpgradeRequired(RequestRefused):
    """The URL is for websockets, and the request asks for none."""

    status = 426


class KeyReused(RequestRefused):
    """The `Idempotency-Key` was used with another request."""

    status = 422


class LeavesAway(RequestRefused):
    """A proof takes what is archived, and the archive is not here."""

    status = 404
    error_type: ErrorType = "notexist"


class NotMultipart(RequestRefused):
    """The body should be a form, and is declared to be something else."""

    status = 415


class LinkInvalid(RequestRefused):
    """The link is not one of ours, or too old."""

    status = 403
    error_type: ErrorType = "permission"

    def __init__(self) -> None:
        super().__init__("the link is not valid, or not any more: ask for another")


class NotAnImage(RequestRefused):
    """An upload comes in a form: it would become a drive that begins with the form's head."""

    status = 415


class RangeMissing(RequestRefused):
    """The image, which has so many bytes, has none in the range that is asked for."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies behind the end of the image, at {size} bytes")
        self.size = size


KnownError = (
    RequestRefused
    | LoginRefused
    | TooManyAttempts
    | NotFound
    | WrongState
    | Invalid
    | ChunkPresent
    | ConcurrentChange
    | PoolFull
    | PoolMissing
    | ImageMissing
    | StoreFailed
    | BadArchive
    | web.HTTPException
)


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


def unknown_error() -> web.Response:
    """For what nobody expected; the log has the rest."""
    return error_answer(500, "backend", "unknown error")


def answer_to(error: KnownError) -> web.Response:
    """The one place where errors get their HTTP status."""
    match error:
        case RangeMissing():
            answer = error_answer(error.status, error.error_type, str(error))
            answer.headers["Content-Range"] = f"bytes */{error.size}"
            return answer
        case BodyTooSlow():
            answer = error_answer(error.status, error.error_type, str(error))
            answer.force_close()  # the rest of the body may still come; nobody wants it
            return answer
        case UpgradeRequired():
            answer = error_answer(error.status, error.error_type, str(error))
            answer.headers["Upgrade"] = "websocket"
            return answer
        case RequestRefused():
            return error_answer(error.status, error.error_type, str(error), point=error.point)
        case LoginRefused():
            answer = error_answer(401, "permission", "credentials are missing or wrong")
            answer.headers["WWW-Authenticate"] = 'Basic realm="users"'
            return answer
        case TooManyAttempts():
            answer = error_answer(429, "permission", "too many failed logins; try again later")
            answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
            return answer
        case NotFound():
            return error_answer(404, "notexist", str(error), point=error.point)
        case WrongState():
            return error_answer(403, "permission", str(error), point=error.point)
        case Invalid():
            return error_answer(400, "validation", str(error), point=error.point)
        case ChunkPresent():
            return error_answer(416, "validation", str(error))
        case ConcurrentChange():
            return error_answer(503, "concurrency", str(error))
        case PoolMissing():
            return error_answer(503, "backend", "the pool of the image is not mounted on this node")
        case ImageMissing():
            return error_answer(503, "backend", "the image cannot be reached; try again later")
        case PoolFull():
            return error_answer(503, "concurrency", "there is no room for the image; try later")
        case StoreFailed():
            return error_answer(503, "backend", "the ledger cannot be reached; try again later")
        case BadArchive():
            return error_answer(503, "backend", "an archive of the ledger cannot be read")
        case web.HTTPException():
            return _answer_to_http(error)
        case _:
            assert_never(error)


def _answer_to_http(error: web.HTTPException) -> web.Response:
    """What the router says: no such URL, or not with this method."""
    match error:
        case web.HTTPMethodNotAllowed():
            message = f"method {error.method} is not allowed on this URL"
            answer = error_answer(405, "validation", message)
            answer.headers["Allow"] = ",".join(sorted(error.allowed_methods | {"OPTIONS"}))
            return answer
        case web.HTTPNotFound():
            return error_answer(404, "notexist", "there is nothing at this URL")
        case _:
            return error_answer(error.status, "validation", HTTPStatus(error.status).phrase)
