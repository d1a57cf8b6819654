"""What was asked for, without what somebody made up or keeps secret."""

from aiohttp import web

NO_ROUTE = "none"
"""For what leads nowhere."""


def url_template_of(request: web.Request) -> str:
    """The template of the URL: it has no uuid in it, and no token of an upload link."""
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical.rstrip("/") or "/"
