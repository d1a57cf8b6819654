"""Who may keep an answer: nobody but the caller, and no browser after its logout."""

from aiohttp import hdrs, web

REVALIDATED = "private, no-cache"
"""Kept by the caller alone, and shown again only if the service says so: a 401 after a logout."""
NOT_KEPT = "private, no-store"


async def keep_private(_request: web.Request, answer: web.StreamResponse) -> None:
    """Say who may keep an answer that does not say so itself."""
    if hdrs.CACHE_CONTROL not in answer.headers:
        tagged = hdrs.ETAG in answer.headers
        answer.headers[hdrs.CACHE_CONTROL] = REVALIDATED if tagged else NOT_KEPT
