"""Handlers of the API's description, for programs and for people; it is public."""

from aiohttp import web

from api.http.responses import answer_of
from api.openapi.document import document_json
from api.openapi.page import POLICY, STYLE, docs_page
from api.openapi.v1 import v1_document_json


async def serve_document(request: web.Request) -> web.Response:
    """Answer `/openapi.json`."""
    return answer_of(document_json())


async def serve_v1_document(request: web.Request) -> web.Response:
    """Answer `/api/v1/openapi.json`."""
    return answer_of(v1_document_json())


async def serve_page(request: web.Request) -> web.Response:
    """Answer `/api/docs/`."""
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return web.Response(
        body=docs_page(), content_type="text/html", charset="utf-8", headers=headers
    )


async def serve_style(request: web.Request) -> web.Response:
    """Answer with the page's stylesheet."""
    return web.Response(body=STYLE.read_bytes(), content_type="text/css", charset="utf-8")
