"""The page for browsers: one document at all of its addresses, and the files that it loads.

The service reads them when it starts. A browser asks each time whether its copy is the newest, so
that it never runs scripts of two versions after an upgrade.
"""

import gzip
import mimetypes
from functools import cache
from pathlib import Path
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web

from api.http.etags import tag_of
from api.service.version import VERSION
from ledger.domain.operations import OPERATIONS

FOLDER = Path(__file__).parent.with_name("page")
DOCUMENT = "index.html"
ADDRESSES = (
    r"{path:(?:page/.*|(?:jobs|drives|servers)(?:/[^/]+)?/?"
    r"|(?:login|activity|keypairs|retention|ledger|accounts)/?|)}"
)
"""The addresses of the page, as a pattern of the router; its scripts tell them apart."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
}


class _File(NamedTuple):
    """A file as it is sent, plain and compressed."""

    content_type: str
    plain: bytes
    compressed: bytes


class PageFiles:
    def __init__(self, csrf_cookie: str) -> None:
        self._files = {
            path.relative_to(FOLDER).as_posix(): _read(path)
            for path in FOLDER.rglob("*")
            if path.is_file()
        }
        self._files["operations.js"] = _script("OPERATIONS", _titles())
        self._files["cookies.js"] = _script("CSRF_COOKIE", csrf_cookie)
        self._files["version.js"] = _script("VERSION", VERSION)

    async def get(self, request: web.Request) -> web.Response:
        """Answer with the document or, below `/page/`, a file, whatever the query is."""
        path = request.match_info["path"]
        name = path.removeprefix("page/") if path.startswith("page/") else DOCUMENT
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        packed = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        body = file.compressed if packed else file.plain
        headers = {**_HEADERS, hdrs.CONTENT_TYPE: file.content_type, hdrs.ETAG: tag_of(body)}
        if packed:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=body, headers=headers)


@cache
def _read(path: Path) -> _File:
    """Read a file, once for all applications of a process."""
    kind, _ = mimetypes.guess_type(path.name)
    return _file(kind or "text/plain", path.read_bytes())


def _titles() -> dict[str, str]:
    """Return the titles of all operations by name."""
    return {operation.name: operation.title for operation in OPERATIONS.values()}


def _script(name: str, value: object) -> _File:
    """Make a script that exports a value."""
    return _file(
        "text/javascript", b"export const %b = %b;\n" % (name.encode(), orjson.dumps(value))
    )


def _file(kind: str, plain: bytes) -> _File:
    return _File(f"{kind}; charset=utf-8", plain, gzip.compress(plain, mtime=0))
