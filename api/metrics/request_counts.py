"""Counts the requests that an application answers."""

from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.url_template import route_of
from api.metrics.table import REQUEST_SECONDS, REQUESTS
from ledger.store.metrics import SECONDS


class Requests:
    """What was asked for, how it was answered, and how long that took."""

    def __init__(self) -> None:
        self.answered = REQUESTS.counter()
        self.seconds = REQUEST_SECONDS.histogram(SECONDS)

    def watch(self, app: web.Application) -> None:
        """Counts from now on; before the application runs."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = perf_counter()
            response = await handler(request)
            method, route = _method(request), route_of(request)
            self.answered.labels(method, route, response.status).inc()
            if not _waits(request, response):
                self.seconds.labels(method, route).observe(perf_counter() - began)
            return response

        app.middlewares.insert(0, counted)


def _waits(request: web.Request, response: web.StreamResponse) -> bool:
    """Whether it took as long as its client liked, which says nothing of the service."""
    # A look at the text, so that no query is taken apart just to be counted.
    return "wait=" in request.raw_path or isinstance(response, web.WebSocketResponse)


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
