"""Counts the requests that an application answers."""

from time import perf_counter
from typing import get_args

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.outcome import OUTCOME
from api.http.url_template import url_template_of
from api.metrics.table import OUTCOMES, REQUEST_SECONDS, REQUESTS
from ledger.domain.outcomes import Outcome
from ledger.store.metrics import SECONDS


class RequestCounts:
    """The requests by URL and status, how long they took, and what is known of failed changes."""

    def __init__(self) -> None:
        self.answered = REQUESTS.counter()
        self.seconds = REQUEST_SECONDS.histogram(SECONDS)
        self.outcomes = OUTCOMES.counter()
        for outcome in get_args(Outcome):  # Prometheus sees no increase in what begins at one
            self.outcomes.labels(outcome)

    def watch(self, app: web.Application) -> None:
        """Count the requests of an application that does not run yet."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = perf_counter()
            response = await handler(request)
            method, route = _method(request), url_template_of(request)
            self.answered.labels(method, route, response.status).inc()
            if OUTCOME in response.headers:
                self.outcomes.labels(response.headers[OUTCOME]).inc()
            if not _is_paced_by_client(request, response):
                self.seconds.labels(method, route).observe(perf_counter() - began)
            return response

        app.middlewares.insert(0, counted)


def _is_paced_by_client(request: web.Request, response: web.StreamResponse) -> bool:
    """Return whether the client chose how long it took: that says nothing about the service."""
    # Searched as text: parsing a query just to count it would cost more.
    return "wait=" in request.raw_path or isinstance(response, web.WebSocketResponse)


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
