"""Logins that end at one node end at the others, whatever they remember, and in time."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.accounts.account import LoginRefused
from api.accounts.revocations import KNOWN_S, POLL_S, Endings
from api.app import make_app
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


class Looks:
    """Of a node for endings: whatever ended before one begins is known once it is over."""

    def __init__(self, endings: Endings, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun = self._last_over = 0
        look = endings._look

        async def look_seen() -> None:
            self._begun += 1
            this = self._begun
            await look()
            self._last_over = this

        monkeypatch.setattr(endings, "_look", look_seen)

    async def wait_for_another(self) -> None:
        before = self._begun
        await wait_until("for another look", lambda: self._last_over > before)


@pytest.mark.parametrize("ending", ["password", "token", "removal"])
async def test_websockets_at_other_nodes_end_in_time(
    services: tuple[Service, Service], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the password, a token or the account; a new login's stays."""
    assert POLL_S < KNOWN_S
    one, two = services
    looks = Looks(two.accounts.endings, monkeypatch)
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
            await looks.wait_for_another()
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
    endings = services[1].accounts.endings
    await wait_until("for a look", endings.known)
    with away(database):
        await wait_until("for it to be out of date", lambda: not endings.known())
    await wait_until("for another look", endings.known)
