"""A real service in the test's own directory, where the test itself does the work of copies."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.limits import Limits
from api.service.service import Service
from api.service.settings import Settings
from ledger.images.pools import Pool
from tests.api.begun import begin_as, begun
from tests.api.calling import ALICE, AUDITOR, BOB, Api, KnownAccounts
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer
from tests.support.postgres import record_pools_elsewhere

__all__ = ["begun"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest) -> str | None:
    """Where the ledger is."""
    return request.getfixturevalue("ledger_database") if request.param == "postgres" else None


@pytest.fixture
def limits() -> Limits:
    """What one client may take, in any time; a test has other limits by `parametrize`."""
    return unhurried()


@pytest.fixture
async def service(
    tmp_path: Path, begun: Path, store: str | None, limits: Limits
) -> AsyncIterator[Service]:
    if store is None:
        begin_as(begun, tmp_path)
    pools = (Pool("main", tmp_path / "pools" / "main"),)
    settings = Settings(data=tmp_path, store=store, pools=pools, copying=False, limits=limits)
    if store is not None:
        record_pools_elsewhere(store, settings)
    async with open_service(settings) as opened:
        yield replace(opened, accounts=KnownAccounts(ALICE, BOB, AUDITOR))


@pytest.fixture
def always_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are sent in pieces however short they are."""
    monkeypatch.setattr("api.http.requests.SHORT_LIMIT", -1)
    monkeypatch.setattr("api.http.streams.PART_BYTES", 0)


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    async with TestClient(ApiServer(make_app(service))) as client:
        yield Api(client, service)
