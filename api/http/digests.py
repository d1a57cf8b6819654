"""Digests of what is transferred (RFC 9530): wanted and given as SHA-256."""

import re
from base64 import b64encode

from aiohttp import web

WANT_REPR_DIGEST = "Want-Repr-Digest"
REPR_DIGEST = "Repr-Digest"

_WANTED = re.compile(r"(?:^|,)[ \t]*sha-256[ \t]*=[ \t]*(?:[1-9]|10)[ \t]*(?:,|$)")


def wants_digest(request: web.Request) -> bool:
    """Return whether the client would like the SHA-256 of the whole, whatever part it gets."""
    return _WANTED.search(request.headers.get(WANT_REPR_DIGEST, "")) is not None


def digest_headers(sha256: bytes | None) -> dict[str, str]:
    """Return the header that gives a digest, if it is known."""
    return {} if sha256 is None else {REPR_DIGEST: f"sha-256=:{b64encode(sha256).decode()}:"}
