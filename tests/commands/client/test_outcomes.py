"""What the command line does, and says, when it does not know what a POST has changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from api.cli.commands.resources import clone
from api.client import http
from api.client.errors import Refused, Undecided, Unreachable
from api.client.sessions import SessionClient

DRIVE = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
COPY = "64a05c4a-3cc7-4bdb-91f8-d4ffb9e13350"
PATH = f"/api/2.0/drives/{COPY}/"
NAMED = {"objects": [{"uuid": COPY, "resource_uri": PATH}]}
SHOWN = {"uuid": COPY, "jobs": [{"uuid": "job-of-the-copy", "resource_uri": "/jobs/"}]}
LOST = "lost"

Given = Callable[[], web.Response] | str
"""An answer; or the connection is lost once the request has been read."""


def answer(status: int, outcome: str | None = None, message: str = "as told") -> Given:
    headers = {} if outcome is None else {"X-Ledger-Outcome": outcome}
    errors = [{"error_type": "backend", "error_message": message, "error_point": None}]
    return lambda: web.json_response(errors, status=status, headers=headers)


def page_of_proxy(status: int) -> Given:
    return lambda: web.Response(status=status, text="<html>nginx</html>", content_type="text/html")


def success() -> web.Response:
    return web.json_response(NAMED, status=202, headers={"X-Ledger-Outcome": "recorded"})


class Service:
    """Gives these answers to POSTs in turn, and the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Given] = []
        self.keys: list[str] = []
        app = web.Application()
        app.router.add_post("/{path:.*}", self._post)
        app.router.add_get(PATH, self._get)
        self.server = TestServer(app)

    async def _post(self, request: web.Request) -> web.Response:
        await request.read()
        self.keys.append(request.headers["Idempotency-Key"])
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not isinstance(given, str):
            return given()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _get(self, _: web.Request) -> web.Response:
        return web.json_response(SHOWN)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    service = Service()
    async with service.server:
        yield service


@pytest.fixture
def post(service: Service) -> Callable[..., Awaitable[http.Answer]]:
    async def post(*answers: Given) -> http.Answer:
        service.answers = list(answers)
        async with aiohttp.ClientSession() as session:
            return await SessionClient(service.url, session).post(
                "/drives/", body={"name": "cedar"}
            )

    return post


Post = Callable[..., Awaitable[http.Answer]]


@pytest.mark.parametrize(
    "failure",
    [LOST, page_of_proxy(502), answer(503, "unknown"), answer(503, "not-recorded"), answer(500)],
    ids=["lost", "proxy", "unknown", "not recorded", "without outcome"],
)
async def test_a_post_is_repeated_with_its_key(
    post: Post, service: Service, failure: Given
) -> None:
    assert (await post(failure, success)).status == 202
    assert len(service.keys) == 2
    assert len(set(service.keys)) == 1


@pytest.mark.parametrize(
    "failure",
    [LOST, page_of_proxy(504), answer(503, "unknown"), answer(500)],
    ids=["lost", "proxy", "unknown", "without outcome"],
)
async def test_what_stays_unknown_is_said_to_be(
    post: Post, service: Service, failure: Given
) -> None:
    with pytest.raises(Undecided, match="it may have been done all the same"):
        await post(failure)
    assert len(service.keys) == http.TRIES


async def test_a_later_refusal_is_not_taken_for_the_first_ones(post: Post) -> None:
    """The first may have been recorded, whatever the second is told."""
    with pytest.raises(Undecided, match="no such drive"):
        await post(answer(503, "unknown"), answer(404, "not-recorded", "no such drive"))
    with pytest.raises(Undecided, match="refuses the token"):
        await post(answer(503, "unknown"), answer(401, "not-recorded"))


async def test_what_is_known_to_be_undone_is_refused(post: Post, service: Service) -> None:
    with pytest.raises(Refused, match="nothing was changed") as refused:
        await post(answer(503, "not-recorded", "nothing was changed"))
    assert "may have been done" not in str(refused.value)
    assert len(service.keys) == http.TRIES


@pytest.mark.parametrize("status", [400, 403, 404, 429])
async def test_a_refusal_is_not_repeated(post: Post, service: Service, status: int) -> None:
    """Also one without an outcome: an earlier version of the service has none."""
    with pytest.raises(Refused):
        await post(answer(status))
    assert len(service.keys) == 1


async def test_a_service_that_is_not_there_has_done_nothing(service: Service) -> None:
    url = service.url
    await service.server.close()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unreachable):
            await SessionClient(url, session).post("/drives/")


async def test_a_clone_that_is_only_named_is_looked_at(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was recorded, but could not be shown: its job is found where it is."""
    service.answers = [success]
    set_ = {"JOB_LEDGER_URL": service.url, "JOB_LEDGER_TOKEN": "token"}
    done = await asyncio.to_thread(CliRunner().invoke, clone, ["drive", DRIVE], env=set_)
    assert done.output == f"drive {COPY}\njob job-of-the-copy\n", done
