"""Query parameters, of which a URL takes only those that it knows."""

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.access import READING
from api.v1.problems import Problem


def strict(handler: Handler, parameters: Collection[str]) -> Handler:
    """Return the handler, behind a check that a GET has only these parameters; others have none."""
    known = frozenset(parameters)

    async def checked(request: web.Request) -> web.StreamResponse:
        allowed = known if request.method in READING else frozenset[str]()
        unknown = sorted(set(request.query) - allowed) if request.query_string else ()
        if unknown:
            told = f"unknown parameters: {', '.join(unknown)}"
            raise Problem("unknown-field", told, {"unknown": unknown})
        return await handler(request)

    return checked
