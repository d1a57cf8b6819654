"""The HTTP server, which answers every error with the API's JSON.

What cannot be parsed as a request reaches no middleware: aiohttp would answer it by itself, in
plain text. The same goes for an unknown `Expect`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from api.http.errors import answer_to, error_answer, unknown_error
from api.http.outcome import note_outcome
from api.http.request_ids import REQUEST_ID, RequestIds

FAILED = web.HTTPInternalServerError.status_code


class ApiRunner(web.AppRunner):
    """Runs the application on our connections; `prefix` begins the ids of requests."""

    __slots__ = ("_ids",)

    def __init__(self, app: web.Application, *, prefix: str, **given: Any) -> None:
        super().__init__(app, **given)
        self._ids = RequestIds(prefix)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            connection=partial(_Connection, ids=self._ids),
            **made._kwargs,  # noqa: SLF001 - aiohttp has no other way to its connections
        )


class _Server(web.Server):
    """aiohttp's server with another class of connections."""

    def __init__(
        self, *given: Any, connection: Callable[..., web.RequestHandler], **named: Any
    ) -> None:
        super().__init__(*given, **named)
        self._connection = connection

    def __call__(self) -> web.RequestHandler:
        return self._connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """aiohttp's connection with other answers to errors."""

    __slots__ = ("_ids",)

    def __init__(self, *given: Any, ids: RequestIds, **named: Any) -> None:
        super().__init__(*given, **named)
        self._ids = ids

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and errors outside the middleware.

        The parser's message quotes the request, and is for the log only. The connection is closed,
        as it is unknown where the next request would begin.
        """
        super().handle_error(request, status, exc, message)
        answer = _answer_to(exc)
        note_outcome(request, answer, "unknown" if answer.status == FAILED else "not-recorded")
        answer.force_close()
        answer.headers[REQUEST_ID] = self._ids.of(request)
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; replace those of aiohttp itself, from before the middleware."""
        if isinstance(resp, web.HTTPException):
            resp = answer_to(resp)
            note_outcome(request, resp, "not-recorded")
            resp.headers[REQUEST_ID] = self._ids.of(request)
        return await super().finish_response(request, resp, start_time)


def _answer_to(error: BaseException | None) -> web.Response:
    match error:
        case LineTooLong():
            return error_answer(400, "validation", "the URL or a header is too long")
        case HttpProcessingError():
            return error_answer(400, "validation", "this is no HTTP request that can be understood")
        case _:
            return unknown_error()
