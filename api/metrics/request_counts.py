"""Counts the requests that an application answers."""

from collections import Counter, defaultdict
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.url_template import route_of
from ledger.store.metrics import SECONDS, Distribution


class Requests:
    """What was asked for, how it was answered, and how long that took."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.seconds: dict[tuple[str, str], Distribution] = defaultdict(
            lambda: Distribution(SECONDS)
        )

    def watch(self, app: web.Application) -> None:
        """Counts from now on; before the application runs."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = perf_counter()
            response = await handler(request)
            method, route = _method(request), route_of(request)
            self.answered[method, route, response.status] += 1
            if not _waits(request, response):
                self.seconds[method, route].note(perf_counter() - began)
            return response

        app.middlewares.insert(0, counted)


def _waits(request: web.Request, response: web.StreamResponse) -> bool:
    """Whether it took as long as its client liked, which says nothing of the service."""
    # A look at the text, so that no query is taken apart just to be counted.
    return "wait=" in request.raw_path or isinstance(response, web.WebSocketResponse)


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
