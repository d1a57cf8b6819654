"""Entity tags: a client is not sent again what it has already."""

import re
from hashlib import blake2b

from aiohttp import hdrs, web

TAG_BYTES = 16

_OF_BOTH = (hdrs.CACHE_CONTROL, hdrs.CONTENT_LOCATION, hdrs.ETAG, hdrs.EXPIRES, hdrs.VARY)
"""The headers that a 304 has in common with the whole answer (RFC 9110, 15.4.5)."""
_TAGS = re.compile(r'(W/)?("[^"]*")')


def digest(body: bytes) -> str:
    return blake2b(body, digest_size=TAG_BYTES).hexdigest()


def tag_of(body: bytes) -> str:
    """Return the strong tag of these bytes."""
    return f'"{digest(body)}"'


def given_tags(request: web.Request) -> list[str]:
    """Return the tags of the answers that the client has, as strong tags."""
    return [tag for _, tag in _TAGS.findall(_values(request, hdrs.IF_NONE_MATCH))]


def make_conditional(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """Return the answer to a GET or HEAD with its tag, or a 304 if the client has it already.

    A handler may have set the tag. Answers that are streamed, or are not a 200, stay as they are.
    """
    if answer.status != web.HTTPOk.status_code or not isinstance(answer, web.Response):
        return answer
    tag = answer.headers.get(hdrs.ETAG)
    if tag is None and isinstance(answer.body, bytes):
        tag = answer.headers[hdrs.ETAG] = tag_of(answer.body)
    if tag is None or not names_tag(request, hdrs.IF_NONE_MATCH, tag, weak=True):
        return answer
    kept = {name: answer.headers[name] for name in _OF_BOTH if name in answer.headers}
    return web.Response(status=web.HTTPNotModified.status_code, headers=kept)


def names_tag(request: web.Request, header: str, tag: str, *, weak: bool) -> bool:
    """Return whether a header names a tag; a weak one counts only where that is enough."""
    text = _values(request, header)
    if text.strip() == "*":
        return True
    return any(named == tag and (weak or not mark) for mark, named in _TAGS.findall(text))


def _values(request: web.Request, header: str) -> str:
    return ",".join(request.headers.getall(header, ()))
