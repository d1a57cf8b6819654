"""Logins that end at one node end at the others, whatever they remember, and in time."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.app import make_app
from api.composition import open_service
from api.endings import KNOWN_S, Endings
from api.identity import LoginRefused
from api.service import Service
from api.settings import Settings
from tests.api.calling import Api
from tests.api.listening import listening
from tests.support.postgres import away

EMAIL = "ada@example.test"
PATIENCE_S = 10.0
LATE_S = 3 * KNOWN_S
"""A second is promised; a machine that runs other tests may stand still for another."""


@pytest.fixture
async def services(tmp_path: Path, database: str) -> AsyncIterator[tuple[Service, Service]]:
    """Two, each with a data directory; they sign with one key."""
    async with AsyncExitStack() as stack:
        opened = []
        for name in ("one", "two"):
            data = tmp_path / name
            data.mkdir()
            for key in (tmp_path / "one").glob("checkpoint.*") if opened else ():
                shutil.copy2(key, data / key.name)
            settings = Settings(data=data, store=database, copying=False)
            opened.append(await stack.enter_async_context(open_service(settings)))
        yield opened[0], opened[1]


@pytest.mark.parametrize("ending", ["password", "token", "removal"])
async def test_websockets_at_other_nodes_end_in_time(
    services: tuple[Service, Service], ending: str
) -> None:
    """With the password, a token or the account; a new login's stays."""
    one, two = services
    ada = await one.accounts.add(EMAIL, "correct horse")
    token = await one.accounts.tokens.add(EMAIL)
    async with TestClient(TestServer(make_app(two))) as client:
        api = Api(client, two)
        async with listening(api, ada) as listener:
            match ending:
                case "password":
                    await one.accounts.set_password(EMAIL, "another horse")
                case "token":
                    await one.accounts.tokens.remove(token.id)
                case _:
                    await one.accounts.remove(EMAIL)
            async with asyncio.timeout(LATE_S):
                assert await listener.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
        if ending == "removal":
            return
        async with listening(api, ada) as later:
            await asyncio.sleep(KNOWN_S)
            assert not later.socket.closed


async def test_a_cookie_made_at_one_node_opens_a_websocket_at_another(
    services: tuple[Service, Service],
) -> None:
    """Until the logins it was made by have ended."""
    one, two = services
    ada = await one.accounts.add(EMAIL, "correct horse")
    cookie = await one.accounts.new_async_cookie(ada)
    assert await two.accounts.account_of_async_cookie(cookie) == ada
    await one.accounts.set_password(EMAIL, "another horse")
    with pytest.raises(LoginRefused):
        await two.accounts.account_of_async_cookie(cookie)


async def test_a_node_that_cannot_ask_remembers_nothing(
    services: tuple[Service, Service], database: str
) -> None:
    """What has ended meanwhile it cannot know; once it can ask again it remembers."""
    endings = services[1].accounts.endings
    await _until(endings, known=True)
    with away(database):
        async with asyncio.timeout(LATE_S):
            await _until(endings, known=False)
    await _until(endings, known=True)


async def _until(endings: Endings, *, known: bool) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while endings.known() != known:  # noqa: ASYNC110 - it is a matter of time
            await asyncio.sleep(0.02)
