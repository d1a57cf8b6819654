"""Same-origin check: browsers attach our cookies to the requests of other sites' pages, too."""

import re

from aiohttp import hdrs, web

from api.http.errors import Forbidden

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PORT = re.compile(r":[0-9]+$")


def check_origin(request: web.Request) -> None:
    """Raise `Forbidden` for another host's page; clients other than browsers name no origin.

    Browsers say by `Sec-Fetch-Site`, which no page can set, whether it is our own; that holds
    behind any proxy. Over plain HTTP they say it to no other machine.
    """
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and not is_same_origin(origin, request.host):
        raise Forbidden(
            f"a page of {origin} may not do this at {request.host}. If that is the same service"
            " behind a proxy, the proxy must forward the host: X-Forwarded-Host ($http_host in"
            " nginx), from an address that --trusted-proxy names"
        )


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether an origin is this host; the scheme's default port may be left out."""
    scheme, _, place = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    return port is not None and _with_port(place, port) == _with_port(host.lower(), port)


def _with_port(place: str, port: int) -> str:
    return place if _PORT.search(place) else f"{place}:{port}"
