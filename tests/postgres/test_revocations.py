"""A login that is revoked at one node ends at every node in time, even where it is cached."""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from api.accounts.account import LoginRefused, TokenOver
from api.accounts.places import Client
from api.accounts.revocations import KNOWN_S, Revocations
from api.accounts.throttle import TooManyAttempts
from api.app import make_app
from api.background.logins import POLL_S
from api.composition import open_service
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import RegisterJob
from ledger.store.writer import Caller
from tests.api.calling import UNKNOWN, Api
from tests.api.listening import Listener, listening
from tests.support.api_server import ApiServer
from tests.support.postgres import away
from tests.support.producing import registered
from tests.support.wait import wait_until

EMAIL = "ada@example.test"
HERE = Client("192.0.2.7")


@pytest.fixture
async def services(tmp_path: Path, database: str) -> AsyncIterator[tuple[Service, Service]]:
    """Two services, each with a data directory, which sign with the same key."""
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
    """Wait until the node knows every revocation recorded before this call."""
    now = time.monotonic()
    await wait_until("for another poll", lambda: revocations._polled_at > now)


@pytest.mark.parametrize("revoked_by", ["password", "token", "removal"])
async def test_a_revocation_closes_websockets_at_other_nodes(
    services: tuple[Service, Service], revoked_by: str
) -> None:
    """A new password, or the removal of a token or the account; a later login stays connected."""
    assert POLL_S < KNOWN_S
    one, two = services
    ada = await one.accounts.add(EMAIL, "correct horse")
    token = await one.accounts.tokens.add(EMAIL)
    async with TestClient(ApiServer(make_app(two))) as client:
        api = Api(client, two)
        async with listening(api, ada) as listener:
            match revoked_by:
                case "password":
                    await one.accounts.set_password(EMAIL, "another horse")
                case "token":
                    await one.accounts.tokens.remove(token.id)
                case _:
                    await one.accounts.remove(EMAIL)
            assert await listener.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
        if revoked_by == "removal":
            return
        async with listening(api, ada) as later:
            await another_poll(two.accounts.revocations)
            later_job = await api.job(owner=ada)
            await later.until(lambda frame: later_job in frame.uri)


async def test_a_cookie_made_at_one_node_opens_a_websocket_at_another(
    services: tuple[Service, Service],
) -> None:
    """Until the account's logins are revoked."""
    one, two = services
    ada = await one.accounts.add(EMAIL, "correct horse")
    cookie = await one.accounts.new_async_cookie(ada)
    assert await two.accounts.account_of_async_cookie(cookie) == ada
    await one.accounts.set_password(EMAIL, "another horse")
    with pytest.raises(LoginRefused):
        await two.accounts.account_of_async_cookie(cookie)


async def test_a_logout_at_one_node_ends_websockets_at_the_others(
    services: tuple[Service, Service],
) -> None:
    """Those of its session; and a cookie that was made in it opens none."""
    one, two = services
    ada = await one.accounts.add(EMAIL, "correct horse")
    session = await one.accounts.log_in(EMAIL, "correct horse", HERE)
    cookies = [await one.accounts.new_async_cookie(ada, each) for each in (session.id, None)]
    async with TestClient(ApiServer(make_app(two))) as client:
        ended, kept = [{"Cookie": f"async_auth={cookie}"} for cookie in cookies]
        async with client.ws_connect("/websocket", headers=ended) as socket:
            await wait_until("it follows", lambda: two.feed.subscribers == 1)
            await one.accounts.sessions.end(session.id)
            assert await Listener(socket).closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.ws_connect("/websocket", headers=ended)
        async with client.ws_connect("/websocket", headers=kept):
            await wait_until("it follows", lambda: two.feed.subscribers == 1)


async def test_a_place_is_known_at_every_node(
    services: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its address or by the cookie of a device; guesses are counted by each node."""
    one, two = services
    monkeypatch.setattr(two.accounts._passwords._throttle, "_clock", lambda: 0.0)  # no wait ends
    await one.accounts.add(EMAIL, "correct horse")
    session = await one.accounts.log_in(EMAIL, "correct horse", HERE)
    guesser = HERE._replace(address="10.0.0.1")
    for client in (HERE, guesser):
        for n in range(6):
            with pytest.raises(LoginRefused):
                await two.accounts.log_in("nobody@example.test", f"wrong one {n}", client)
    with pytest.raises(TooManyAttempts):
        await two.accounts.log_in(EMAIL, "correct horse", guesser)
    for client in (HERE, guesser._replace(device=session.device)):
        assert (await two.accounts.log_in(EMAIL, "correct horse", client)).device
    await two.accounts.set_password(EMAIL, "another horse")
    with pytest.raises(TooManyAttempts):
        await two.accounts.log_in(EMAIL, "another horse", HERE)


async def test_a_node_that_cannot_poll_trusts_no_cached_login(
    services: tuple[Service, Service], database: str
) -> None:
    """Logins may have been revoked meanwhile; once it can poll again, it uses its cache again."""
    revocations = services[1].accounts.revocations
    await wait_until("for a poll", revocations.are_known)
    with away(database):
        await wait_until("for it to be out of date", lambda: not revocations.are_known())
    await wait_until("for another poll", revocations.are_known)


async def test_a_jobs_token_is_the_same_at_every_node(services: tuple[Service, Service]) -> None:
    """Whichever told it; and it ends at all of them with the token that it came from."""
    one, two = services
    ada = await one.accounts.add(EMAIL, "correct horse")
    came_from = await one.accounts.tokens.add(EMAIL, "nas", scopes=("jobs:register",))
    holder = Holder("5f" * 32, came_from.id)
    said = replace(registered(), token=came_from.id)
    command = RegisterJob(ada.uuid, UNKNOWN, "backup", said, holder=holder)
    await one.ledger.execute(command, Caller(ada.uuid, "r"))
    token = await one.accounts.job_token(UNKNOWN, 1, holder.instance)
    assert await two.accounts.job_token(UNKNOWN, 1, holder.instance) == token
    for node in services:
        assert (await node.accounts.grant_of(f"Bearer {token}", HERE)).token == came_from.id
    await one.accounts.tokens.remove(came_from.id)
    await another_poll(two.accounts.revocations)
    for node in services:
        with pytest.raises(TokenOver, match="removed"):
            await node.accounts.grant_of(f"Bearer {token}", HERE)
