"""Requests that depend on which version of a file there is (RFC 9110, sections 13 and 14).

They are judged in the order of section 13.2.2. A date is a weak sign, as a file can change twice
within its second: `If-Range` takes a date only if it is exactly that of the file.
"""

import re
from email.utils import formatdate
from typing import NamedTuple

from aiohttp import hdrs, web

from api.http.errors import RequestRefused
from api.http.etags import names_tag

_BYTES = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_OTHER_UNIT = re.compile(r"(?!bytes=)[!#$%&'*+.^_`|~0-9a-z-]+=.*", re.IGNORECASE)
_SEVERAL = re.compile(r"bytes=[0-9 \t-]*,[0-9, \t-]*", re.IGNORECASE)


class Version(NamedTuple):
    """A version of a file: its strong tag, and when it changed last, in seconds."""

    tag: str
    modified: int

    @property
    def date(self) -> str:
        """The time as `Last-Modified` says it."""
        return formatdate(self.modified, usegmt=True)


def is_current(request: web.Request, version: Version) -> bool:
    """Return whether the client has this version already, so that the answer is a 304.

    Raise `RequestRefused` if it wants another one, and no other.
    """
    if hdrs.IF_MATCH in request.headers:
        required = names_tag(request, hdrs.IF_MATCH, version.tag, weak=False)
    else:
        since = request.if_unmodified_since
        required = since is None or version.modified <= since.timestamp()
    if not required:
        raise RequestRefused(412, "this is another version of the image than the one asked for")
    if hdrs.IF_NONE_MATCH in request.headers:
        return names_tag(request, hdrs.IF_NONE_MATCH, version.tag, weak=True)
    since = request.if_modified_since
    return since is not None and version.modified <= since.timestamp()


def asked_range(request: web.Request, version: Version, size: int) -> range | None:
    """Return the bytes asked for of a file that has some; None for all of it.

    All of it answers whatever gives no one range of this version: several ranges, another unit, an
    `If-Range` that names another version. Raise `RequestRefused` if there is nothing in the range.
    """
    text = request.headers.get(hdrs.RANGE)
    if text is None or request.method != hdrs.METH_GET or not _if_range(request, version):
        return None
    if _OTHER_UNIT.fullmatch(text) or _SEVERAL.fullmatch(text):
        return None
    found = _BYTES.fullmatch(text)
    if found is None:
        raise _no_range(size)
    first, last = found.groups()
    if first:
        asked = range(int(first), min(int(last) + 1, size) if last else size)
    else:
        asked = range(max(0, size - int(last or 0)), size)
    if not asked:
        raise _no_range(size)
    return asked


def _if_range(request: web.Request, version: Version) -> bool:
    """Return whether `If-Range` lets the range count."""
    given = request.headers.get(hdrs.IF_RANGE)
    return given is None or given.strip() in (version.tag, version.date)


def _no_range(size: int) -> RequestRefused:
    return RequestRefused(
        416,
        f"there are no bytes in the range: the image has {size}",
        headers={hdrs.CONTENT_RANGE: f"bytes */{size}"},
    )
