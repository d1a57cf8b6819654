"""URLs, and who may use them: declared beside the route, and asked for by the middleware."""

from typing import Literal

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import DynamicResource, PlainResource

Access = Literal["account", "raw", "viewable", "staff", "public"]
"""Who may use a URL, and how.

- `account`: every account, for what it has itself;
- `raw`: the same, and a body is as long as an image, and no JSON;
- `viewable`: the same, and a GET by staff may name another account as `owner`. What holds secrets
  is not viewable: servers have passwords;
- `staff`: only auditors and operators;
- `public`: anyone. Credentials are not looked at: a handler that needs an account finds it itself.
"""

READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
SAFE = READING | {hdrs.METH_OPTIONS, hdrs.METH_TRACE}
"""Methods that change nothing (RFC 9110): another site gains nothing by making a browser send them.
"""

URL_ACCESS = web.AppKey("url-access", dict[web.AbstractResource, Access])
UNKEYED_URLS = web.AppKey("unkeyed-urls", set[web.AbstractResource])
"""The URLs at which an `Idempotency-Key` is ignored, because repeats do no harm."""


class _PlainUrl(PlainResource):
    """A URL, with a slash at its end or without: a redirected POST would lose its body."""

    def _match(self, path: str) -> dict[str, str] | None:
        return super()._match(path.removesuffix("/"))


class _UrlWithParts(DynamicResource):
    """The same, with parts in braces."""

    def _match(self, path: str) -> dict[str, str] | None:
        return super()._match(path.removesuffix("/"))


def add_url(
    app: web.Application,
    path: str,
    *,
    root: str,
    access: Access = "account",
    keyed: bool = True,
    get: Handler | None = None,
    post: Handler | None = None,
    put: Handler | None = None,
    delete: Handler | None = None,
) -> None:
    """Add a URL, which clients may end with a slash.

    `keyed`: whether an `Idempotency-Key` counts; it is ignored where repeats do no harm anyway.
    """
    handlers = {
        hdrs.METH_GET: get,
        hdrs.METH_HEAD: get,
        hdrs.METH_POST: post,
        hdrs.METH_PUT: put,
        hdrs.METH_DELETE: delete,
    }
    url = f"{root}{path}"
    resource = _UrlWithParts(url) if "{" in url else _PlainUrl(url)
    app.router.register_resource(resource)
    app[URL_ACCESS][resource] = access
    if not keyed:
        app[UNKEYED_URLS].add(resource)
    for method, handler in handlers.items():
        if handler is not None:
            resource.add_route(method, handler)


def access_of(request: web.Request) -> Access | None:
    """Return None if the router found no handler."""
    resource = request.match_info.route.resource
    return None if resource is None else request.app[URL_ACCESS][resource]


async def is_public(request: web.Request) -> bool:
    """Return whether the URL is public, whatever the method."""
    if request.match_info.route.resource is not None:
        return access_of(request) == "public"
    if not isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
        return False
    public = (url for url, access in request.app[URL_ACCESS].items() if access == "public")
    resolved = [await resource.resolve(request) for resource in public]
    return any(allowed for _, allowed in resolved)
