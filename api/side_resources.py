"""Resources that clients ask for and that there are none of here."""

from aiohttp import web

from api.answers import page_answer
from api.requests import page


async def empty_list(request: web.Request) -> web.StreamResponse:
    """The list of something of which an account has none."""
    return page_answer(page(request), 0, [])
