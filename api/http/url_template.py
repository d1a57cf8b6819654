"""The template of a request's URL, without ids and the tokens of upload links."""

from aiohttp import web

NO_ROUTE = "none"
"""The template of a URL that has no route."""


def url_template_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical.rstrip("/") or "/"
