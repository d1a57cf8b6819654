"""A connection that is cut between any two messages: what is claimed of a command is the fact.

Five commands and a login, through the API. Only the connection over which the ledger writes is
cut, so that the test can always see what is there.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from psycopg.conninfo import conninfo_to_dict

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from ledger.images.pools import Pool
from ledger.store.postgres import session as pg_session
from ledger.store.postgres.connections import connect
from tests.api.calling import DRIVE, Answer, Api
from tests.postgres.failover.cutting import Cutting, Way
from tests.support.api_server import ApiServer
from tests.support.postgres import PORT, PostgresServer, record_pools_elsewhere

EMAIL, PASSWORD = "ada@example.test", "correct horse"
DRAWN, LAST = 3, 3
"""Places in which each request is cut each way, besides some about its commit."""
WAYS: tuple[Way, ...] = ("to the server", "to the client")

Send = Callable[[], Awaitable[Answer]]
Count = Callable[[], Awaitable[int]]


@dataclass
class Change:
    """A request, and how often what it asks for is there."""

    send: Send
    count: Count


@pytest.fixture
def cutting(postgres: PostgresServer) -> Any:
    with Cutting(postgres.directory / f".s.PGSQL.{PORT}").running() as cutting:
        yield cutting


@pytest.fixture
async def api(
    tmp_path: Path, ledger_database: str, cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Api]:
    """A service that writes through the proxy, and reads beside it."""
    name = conninfo_to_dict(ledger_database)["dbname"]
    through = f"postgresql://postgres@127.0.0.1:{cutting.port}/{name}"
    through += "?sslmode=disable&gssencmode=disable"
    monkeypatch.setattr(pg_session, "connect", lambda _: connect(through))
    pools = (Pool("main", tmp_path / "main"),)
    settings = Settings(data=tmp_path, store=ledger_database, pools=pools, copying=False)
    record_pools_elsewhere(ledger_database, settings)
    async with open_service(settings) as service:
        await service.accounts.add(EMAIL, PASSWORD)
        server = ApiServer(make_app(service))
        async with TestClient(server, cookie_jar=aiohttp.DummyCookieJar()) as client:
            yield Api(client, service)
        assert not service.failed.is_set()


async def call(api: Api, method: str, path: str, json: Any = None, **headers: str) -> Answer:
    sent = {"Authorization": aiohttp.encode_basic_auth(EMAIL, PASSWORD), **headers}
    return await api.call(method, path, json=json, headers=sent, by=None)


async def count(api: Api, kind: str, name: str) -> int:
    listed = await call(api, "GET", f"/{kind}/?name={name}&limit=0")
    return len(listed.json["objects"])


def rows(api: Api, table: str) -> int:
    def read(cursor: Any) -> int:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])

    return api.service.ledger.read(read)


async def new_drive(api: Api, name: str) -> str:
    made = await call(api, "POST", "/drives/", {**DRIVE, "name": name})
    uuid: str = made.json["objects"][0]["uuid"]
    return uuid


async def creation(api: Api, name: str) -> Change:
    return Change(
        lambda: call(api, "POST", "/drives/", {**DRIVE, "name": name}),
        lambda: count(api, "drives", name),
    )


async def creation_with_key(api: Api, name: str) -> Change:
    key = {"Idempotency-Key": name}
    return Change(
        lambda: call(api, "POST", "/drives/", {**DRIVE, "name": name}, **key),
        lambda: count(api, "drives", name),
    )


async def edit(api: Api, name: str) -> Change:
    path = f"/drives/{await new_drive(api, 'plain')}/"
    return Change(
        lambda: call(api, "PUT", path, {"name": name}), lambda: count(api, "drives", name)
    )


async def deletion(api: Api, name: str) -> Change:
    server = (await call(api, "POST", "/servers/", {**SERVER, "name": name})).json["objects"][0][
        "uuid"
    ]

    async def gone() -> int:
        return 1 - await count(api, "servers", name)

    return Change(lambda: call(api, "DELETE", f"/servers/{server}/"), gone)


async def tag(api: Api, name: str) -> Change:
    return Change(
        lambda: call(api, "POST", "/tags/", {"name": name}), lambda: count(api, "tags", name)
    )


async def profile(api: Api, name: str) -> Change:
    """Personal data, of which there is no event."""

    async def is_there() -> int:
        shown = await call(api, "GET", "/profile/")
        return int(shown.json["first_name"] == name)

    return Change(lambda: call(api, "PUT", "/profile/", {"first_name": name}), is_there)


async def login(api: Api, name: str) -> Change:
    """Which has no events."""
    before = rows(api, "sessions")

    async def more() -> int:
        return rows(api, "sessions") - before

    said = {"username": EMAIL, "password": PASSWORD}
    return Change(lambda: api.call("POST", "/accounts/action/?do=login", json=said, by=None), more)


SERVER = {"cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "spoon"}
CHANGES = (creation, creation_with_key, edit, deletion, tag, profile, login)


@pytest.mark.parametrize("prepare", CHANGES, ids=lambda prepare: prepare.__name__)
async def test_what_is_claimed_is_the_fact(
    api: Api,
    cutting: Cutting,
    prepare: Callable[[Api, str], Awaitable[Change]],
    seed: int,
    request: pytest.FixtureRequest,
) -> None:
    messages = await messages_of(api, cutting, prepare)
    drawn = random.Random(seed)  # noqa: S311 - to run it again
    cuts = 0
    for way in WAYS:
        points: Sequence[int] = range(messages[way])
        if not request.config.getoption("--long"):
            points = sorted({*drawn.sample(points, DRAWN), *points[-LAST:]})
        for point in points:
            change = await prepare(api, f"{way[-6:]}-{point}")
            cutting.cut_after(way, point)
            await check(change, where=f"{way}, after {point} of {messages[way]} messages")
            cuts += cutting.has_cut  # what the server has prepared by now takes fewer messages
    assert cuts >= DRAWN


async def messages_of(
    api: Api, cutting: Cutting, prepare: Callable[[Api, str], Awaitable[Change]]
) -> dict[Way, int]:
    """How many pass for such a request over a new connection: the server has prepared nothing."""
    cutting.cut_after("to the server", 0)
    await (await prepare(api, "cut")).send()
    assert cutting.has_cut
    change = await prepare(api, "uncut")
    cutting.count()
    assert (await change.send()).status < 300
    return dict(cutting.passed)


async def check(change: Change, where: str) -> None:
    answer = await change.send()
    told = f"{where}: {answer.status} {answer.body!r}"
    claim = answer.headers.get("X-Ledger-Outcome", "recorded")
    assert claim in ("recorded", "not-recorded"), told
    assert (answer.status < 300) == (claim == "recorded"), told
    assert await change.count() == (claim == "recorded"), told
