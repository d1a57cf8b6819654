"""Entity tags: what a client has already is not sent again."""

import re
from hashlib import blake2b

from aiohttp import hdrs, web

TAG_BYTES = 16

_TAGS = re.compile(r'(?:W/)?("[^"]*")')


def digest(body: bytes) -> str:
    return blake2b(body, digest_size=TAG_BYTES).hexdigest()


def tag_of(body: bytes) -> str:
    """The strong tag of exactly these bytes."""
    return f'"{digest(body)}"'


def given_tags(request: web.Request) -> list[str]:
    """What the client has, as strong tags."""
    return _TAGS.findall(_given(request))


def conditional(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """The answer to a GET or HEAD with its tag, or a 304 if the client has just that.

    A handler may have given it the tag. What is sent in pieces, or is no 200, stays as it is.
    """
    if answer.status != web.HTTPOk.status_code or not isinstance(answer, web.Response):
        return answer
    tag = answer.headers.get(hdrs.ETAG)
    if tag is None and isinstance(answer.body, bytes):
        tag = answer.headers[hdrs.ETAG] = tag_of(answer.body)
    if tag is None or hdrs.IF_NONE_MATCH not in request.headers or not _has(request, tag):
        return answer
    return web.Response(status=web.HTTPNotModified.status_code, headers={hdrs.ETAG: tag})


def _has(request: web.Request, tag: str) -> bool:
    """Whether the client has the answer of this tag. Weak tags are as good as strong ones here."""
    return _given(request).strip() == "*" or tag in given_tags(request)


def _given(request: web.Request) -> str:
    return ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))
