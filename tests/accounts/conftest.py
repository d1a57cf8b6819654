import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from api.accounts import passwords
from api.accounts.service import Account, Accounts
from api.app import make_app
from api.composition import open_ledger, open_service
from api.data.private_tables import PrivateTables
from api.service.ids import new_id
from api.service.settings import Settings
from ledger.store.seam import Cursor
from tests.accounts.calling import PASSWORD
from tests.accounts.clocks import Clock, Wall
from tests.api.begun import begin_as, begun
from tests.api.calling import Api
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer

__all__ = ["begun"]

OpenAccounts = Callable[[], AbstractAsyncContextManager[Accounts]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wall(clock: Clock) -> Wall:
    return Wall(clock)


@pytest.fixture
def open_accounts(tmp_path: Path, begun: Path, clock: Clock, wall: Wall) -> OpenAccounts:
    """Opens the accounts of the test's ledger, as the next start of a service would."""
    begin_as(begun, tmp_path)

    @asynccontextmanager
    async def opening() -> AsyncIterator[Accounts]:
        async with open_ledger(tmp_path) as opened:
            made = Accounts(opened.ledger, now=wall, new_id=new_id, clock=clock)
            yield made
            made.close()

    return opening


@pytest.fixture
async def accounts(open_accounts: OpenAccounts) -> AsyncIterator[Accounts]:
    async with open_accounts() as opened:
        yield opened


@pytest.fixture
async def api(tmp_path: Path, begun: Path, clock: Clock, wall: Wall) -> AsyncIterator[Api]:
    """A service whose accounts are real; the client keeps no cookies by itself.

    It takes the client for a proxy, so that tests can come from any address.
    """
    begin_as(begun, tmp_path)
    settings = Settings(data=tmp_path, copying=False, limits=unhurried())
    async with open_service(settings) as opened:
        accounts = Accounts(opened.ledger, now=wall, new_id=new_id, clock=clock)
        service = replace(opened, accounts=accounts, trusted_proxies=("127.0.0.1",))
        server = ApiServer(make_app(service))
        async with TestClient(server, cookie_jar=aiohttp.DummyCookieJar()) as client:
            yield Api(client, service)
        accounts.close()


@pytest.fixture
async def ada(api: Api) -> Account:
    return await api.service.accounts.add("ada@example.test", PASSWORD)


@pytest.fixture
async def auditor(api: Api) -> Account:
    return await api.service.accounts.add("auditor@example.test", PASSWORD, "auditor")


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were verified against, in order."""
    hashes: list[str] = []
    really = passwords.is_password

    def noted(password: str, password_hash: str) -> bool:
        hashes.append(password_hash)
        return really(password, password_hash)

    monkeypatch.setattr(passwords, "is_password", noted)
    return hashes


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was looked up in the tables."""
    noted: list[object] = []
    really = PrivateTables.read

    async def read(self: PrivateTables, work: Callable[[Cursor], object]) -> object:
        noted.append(work)
        return await really(self, work)

    monkeypatch.setattr(PrivateTables, "read", read)
    return noted


Basic = Callable[[str, str], str]


@pytest.fixture
def basic() -> Basic:
    """The Authorization header of an email and a password."""

    def header(email: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()

    return header
