"""The formats that a client accepts: the API answers with JSON only."""

from aiohttp import hdrs, web

from api.http.errors import RequestRefused

_USABLE = frozenset({"*/*", "application/*", "application/json"})


def check_accept(request: web.Request) -> None:
    """Raise `RequestRefused` unless JSON is accepted; `?format=` on a GET overrides the header.

    Images, checkpoints and CloudEvents are sent as they are, whatever is accepted.
    """
    formats = None
    if request.query_string and request.method == hdrs.METH_GET:
        formats = request.query.getall("format", None)
    if formats:
        usable = formats[-1] == "json"
    else:
        accept = request.headers.get(hdrs.ACCEPT)
        usable = accept is None or accept == "*/*" or _includes_json(accept)
    if not usable and not _sends_no_json(request):
        raise RequestRefused(406, "none of the accepted content types can be produced")


def _includes_json(accept: str) -> bool:
    ranges = [entry.split(";") for entry in accept.split(",")]
    return not accept.strip() or any(
        kind.strip().lower() in _USABLE and not any(map(_is_zero, parameters))
        for kind, *parameters in ranges
    )


def _is_zero(parameter: str) -> bool:
    """Return whether the parameter rules its range out: `q=0`, `q=0.000`."""
    name, _, value = parameter.partition("=")
    return name.strip().lower() == "q" and value.strip().strip("0") in ("", ".")


def _sends_no_json(request: web.Request) -> bool:
    path = request.path.rstrip("/")
    others = ("/download", "/ledger/checkpoint", "/events")
    return path.endswith(others) or "/drives/upload" in path
