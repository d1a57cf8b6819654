"""`watch` goes on after whatever may pass, and ends in words at what will not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.client import http, job_watch
from api.client.errors import Late, Refused, Undecided, Unintelligible, UnknownJob
from api.client.job_watch import Followed, follow
from api.client.sessions import SessionClient

UUID = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
ABSENT = '[{"error_type": "notexist", "error_message": "there is no such job"}]'

Answer = Callable[[], web.Response]
Watch = Callable[..., Awaitable[list[Followed]]]


def job(state: str) -> Answer:
    shown = {
        "uuid": UUID,
        "operation": "drive_clone",
        "state": state,
        "data": {"progress": 100 if state == "success" else 5},
        "created": "2026-01-01T00:00:00Z",
        "last_modified": "2026-01-01T00:00:00Z",
        "resources": [],
        "children": [],
    }
    return lambda: web.json_response(shown, dumps=lambda value: orjson.dumps(value).decode())


def html(status: int = 200) -> Answer:
    page = "<html>Welcome to nginx!</html>"
    return lambda: web.Response(status=status, text=page, content_type="text/html")


def absent() -> web.Response:
    return web.Response(status=404, text=ABSENT, content_type="application/json")


@pytest.fixture
async def watch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    """Watches a job of a service that gives these answers, and its last one again and again."""
    monkeypatch.setattr(job_watch, "PAUSE_S", 0.0)
    servers: list[TestServer] = []

    async def watched(*answers: Answer) -> list[Followed]:
        left = list(answers)

        async def handle(_request: web.Request) -> web.Response:
            return (left.pop(0) if len(left) > 1 else left[0])()

        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        servers.append(server := TestServer(app))
        await server.start_server()
        async with aiohttp.ClientSession() as session:
            client = SessionClient(str(server.make_url("")).rstrip("/"), session)
            looks = [each async for each in follow(client, [UUID], fail_fast=False)]
        assert len(left) == 1, "it ended before it was answered"
        return looks[-1]

    yield watched
    for server in servers:
        await server.close()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
async def test_a_status_that_may_pass_is_waited_out(watch: Watch, status: int) -> None:
    """Before the first look at the job, and between two."""
    (last,) = await watch(html(status), job("started"), html(status), job("success"))
    assert last.has_succeeded
    assert not last.lost


async def test_a_page_of_a_proxy_is_waited_out(watch: Watch) -> None:
    (last,) = await watch(job("started"), html(), job("success"))
    assert last.has_succeeded


async def test_a_url_of_something_else_is_told(watch: Watch) -> None:
    with pytest.raises(Unintelligible, match="is the URL right"):
        await watch(html())


async def test_a_pause_that_the_service_asks_for_is_kept(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr(job_watch.asyncio, "sleep", sleep)

    def busy() -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    await watch(busy, job("success"))
    assert pauses == [7.0]


async def test_a_job_that_does_not_exist_is_not_waited_for_forever(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been discarded, and so never come; one that comes within a minute is watched."""
    (last,) = await watch(absent, absent, job("success"))
    assert last.has_succeeded
    monkeypatch.setattr(job_watch, "UNKNOWN_S", 0.0)
    with pytest.raises(UnknownJob, match="its history has been discarded"):
        await watch(absent)


async def test_a_job_that_is_discarded_meanwhile_is_over(watch: Watch) -> None:
    with pytest.raises(Refused, match="discarded"):
        await watch(job("started"), absent)


async def test_a_service_that_is_silent_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the limit ended is not repeated; whether a change was made is not known."""
    asked: list[str] = []
    over = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.method)
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    brief = http.Limit(0.1)
    monkeypatch.setattr(http, "CHANGE", brief)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        client = SessionClient(str(server.make_url("")).rstrip("/"), session)
        with pytest.raises(Late, match=r"it has not answered for 0\.1 s"):
            await client.get("/jobs/", limit=brief)
        with pytest.raises(Undecided, match="may have been done all the same"):
            await client.post("/jobs/x/action/", {"do": "cancel"})
        over.set()
    assert asked == ["GET", "POST"]
