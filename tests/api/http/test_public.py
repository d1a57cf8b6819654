"""URLs that need no login."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from api.app import _add, make_app
from api.http.errors import BadRequest
from api.http.requests import ANONYMOUS, owner_of
from api.http.responses import json_answer
from api.service.service import Service
from tests.api.calling import ALICE, AUDITOR, Api
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer

STALE = {"Cookie": "sessionid=stale; csrftoken=stale", "Authorization": "Basic nonsense"}


async def _who(request: web.Request) -> web.Response:
    if "bad" in request.query:
        raise BadRequest("bad", point="bad")
    return json_answer({"actor": owner_of(request), "name": request.match_info.get("name")})


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    """The service with a public URL of each form, one of them outside `/api/2.0/`."""
    app = make_app(service)
    _add(app, "/open", get=_who, post=_who, access="public")
    _add(app, "/open/{name}", get=_who, access="public")
    _add(app, "/api/open", root="", get=_who, access="public")
    async with TestClient(ApiServer(app)) as client:
        yield Api(client, service)


@in_turn("path", ["/open/", "/open", "/open/door/"])
@in_turn("headers", [{}, STALE])
async def test_a_public_url_needs_no_login(api: Api, path: str, headers: dict[str, str]):
    """The caller is anonymous, whatever credentials the request carries."""
    for by in (None, ALICE, AUDITOR):
        answer = await api.get(path, by=by, headers=headers)
        assert (answer.status, answer.json["actor"]) == (200, ANONYMOUS)
    assert (await api.post("/open/", by=AUDITOR)).status == 200


async def test_a_public_url_outside_the_api_root(api: Api):
    """A URL outside the API's root is public in the same way."""
    async with api.client.get("/api/open/") as response:
        assert await response.json() == {"actor": ANONYMOUS, "name": None}


async def test_errors_of_public_urls_have_the_common_form(api: Api):
    """A public URL refuses, names its methods and its request as every other does."""
    headers = {"X-Request-ID": "mine"}
    answer = await api.get("/open/?bad", by=None, headers=headers)
    assert answer.error == (400, "validation", "bad")
    assert answer.headers["X-Request-ID"] == "mine"
    answer = await api.delete("/open/", by=None)
    assert answer.error == (405, "validation", None)
    assert answer.headers["Allow"] == "GET,HEAD,OPTIONS,POST"
    answer = await api.call("OPTIONS", "/open/door/", by=None)
    assert (answer.status, answer.body) == (200, b"GET")
    answer = await api.get("/open/", by=None, headers={"Accept": "text/plain"})
    assert answer.error == (406, "validation", None)


async def test_other_urls_need_a_login(api: Api):
    """No other URL becomes public, nor does one that there is not."""
    for method, path in (
        ("GET", "/jobs/"),
        ("DELETE", "/jobs/"),
        ("OPTIONS", "/jobs/"),
        ("GET", "/open/door/further/"),
        ("GET", "/opened/"),
    ):
        assert (await api.call(method, path, by=None)).error == (401, "permission", None)
