"""The HTTP server: aiohttp's, with limits on its connections and every error in the API's JSON.

What cannot be parsed as a request reaches no middleware: aiohttp would answer it by itself, in
plain text.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from api.http.edge.proxies import TRUSTED_PROXIES
from api.http.request_ids import RequestIds
from api.http.wire.bodies import EXPECTATION, LIMITS
from api.http.wire.connection import Connection
from api.http.wire.open_connections import OpenConnections

READ_BYTES = 64 * 1024
"""How much of a connection is read ahead; aiohttp reads up to twice as much."""
HEADERS_MAX = 64
KEEPALIVE_S = 75.0
LINGERING_S = 2.0
"""How long the rest of a body that nobody wants is read and dropped before the connection ends."""


class ApiRunner(web.AppRunner):
    """Runs the application on our connections; `prefix` begins the ids of requests."""

    __slots__ = ("_ids", "connections")

    def __init__(self, app: web.Application, *, prefix: str, **given: Any) -> None:
        super().__init__(
            app,
            access_log=None,
            # A body is inflated once somebody wants it (`api.http.wire.inflation`).
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            max_headers=HEADERS_MAX,
            read_bufsize=READ_BYTES,
            **given,
        )
        self._ids = RequestIds(prefix)
        self.connections = OpenConnections(app[LIMITS], app[TRUSTED_PROXIES].is_trusted)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=_with_one_slash(_without_expectation(made.request_factory)),
            handler_cancellation=made.handler_cancellation,
            connection=partial(
                Connection, ids=self._ids, limits=self.app[LIMITS], connections=self.connections
            ),
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


_Make = Callable[..., web.BaseRequest]


def _with_one_slash(make: _Make) -> _Make:
    """Take several slashes at the end of a path for one: clients add one to what has one."""

    def make_request(message: RawRequestMessage, *given: Any) -> web.BaseRequest:
        path, mark, query = message.path.partition("?")
        if path.endswith("//") and not message.url.absolute:
            path = path.rstrip("/") + "/"
            url = URL.build(path=path, query_string=query, encoded=True)
            message = message._replace(path=path + mark + query, url=url)
        return make(message, *given)

    return make_request


def _without_expectation(make: _Make) -> _Make:
    """Keep `Expect` for the reader of the body: aiohttp would act on it before any middleware."""

    def make_request(message: RawRequestMessage, *given: Any) -> web.BaseRequest:
        expected = message.headers.get(hdrs.EXPECT)
        if expected is None:
            return make(message, *given)
        headers = CIMultiDict(message.headers)
        headers.popall(hdrs.EXPECT)
        request = make(message._replace(headers=CIMultiDictProxy(headers)), *given)
        request[EXPECTATION] = expected
        return request

    return make_request
