"""Counts the requests that an application answers."""

from collections import Counter, defaultdict
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from ledger.metering import SECONDS, Distribution

NO_ROUTE = "none"
"""For what leads nowhere: such URLs are anybody's to choose, so they are no labels."""


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
            method, route = _method(request), _route(request)
            self.answered[method, route, response.status] += 1
            if not isinstance(response, web.WebSocketResponse):
                self.seconds[method, route].note(perf_counter() - began)
            return response

        app.middlewares.insert(0, counted)


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "other"


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical.rstrip("/") or "/"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
