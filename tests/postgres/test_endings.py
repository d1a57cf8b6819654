"""Logins that end at one node end at the others, whatever they remember, and in time."""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.accounts.account import LoginRefused
from api.accounts.revocations import KNOWN_S, Revocations
from api.app import make_app
from api.background.revocations import POLL_S
from api.composition import open_service
from api.service.service import Service
from api.service.settings import Settings
from tests.api.calling import Api
from tests.api.listening import listening
from tests.support.postgres import away
from tests.support.wait import wait_until

EMAIL = "ada@example.test"


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


async def another_poll(revocations: Revocations) -> None:
    """Whatever was revoked before is known then."""
    now = time.monotonic()
    await wait_until("for another poll", lambda: revocations._polled_at > now)


@pytest.mark.parametrize("ending", ["password", "token", "removal"])
async def test_websockets_at_other_nodes_end_in_time(
    services: tuple[Service, Service], ending: str
) -> None:
    """With the password, a token or the account; a new login's stays."""
    assert POLL_S < KNOWN_S
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
            assert await listener.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
        if ending == "removal":
            return
        async with listening(api, ada) as later:
            await another_poll(two.accounts.revocations)
            later_job = await api.job(owner=ada)
            await later.until(lambda frame: later_job in frame.uri)


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
    revocations = services[1].accounts.revocations
    await wait_until("for a poll", revocations.are_known)
    with away(database):
        await wait_until("for it to be out of date", lambda: not revocations.are_known())
    await wait_until("for another poll", revocations.are_known)
