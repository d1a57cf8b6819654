"""A real service with pools and hosts to choose from, whose accounts have profiles.

The test does the copies by hand; those of `live` are really made.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.data.private_tables import PrivateTables
from api.service.service import Service
from api.service.settings import Settings
from ledger.images.pools import Pool
from ledger.store.tables import accounts as table
from tests.api.begun import begin_as, begun
from tests.api.calling import ALICE, AUDITOR, BOB, Api, KnownAccounts
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer
from tests.support.postgres import record_pools_elsewhere

__all__ = ["begun"]

HOSTS = ("first", "second")
NO_PASSWORD = "!"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> str | None:
    """Where the ledger is."""
    return request.getfixturevalue("ledger_database") if request.param == "postgres" else None


@pytest.fixture
def data(tmp_path: Path, store: str | None, begun: Path) -> Path:
    if store is None:
        begin_as(begun, tmp_path)
    return tmp_path


@pytest.fixture
async def api(data: Path, store: str | None) -> AsyncIterator[Api]:
    async with _served(data, store, copying=False) as api:
        yield api


@pytest.fixture
async def live(data: Path, store: str | None) -> AsyncIterator[Api]:
    async with _served(data, store, copying=True) as api:
        yield api


@asynccontextmanager
async def _served(directory: Path, store: str | None, *, copying: bool) -> AsyncIterator[Api]:
    """Two pools of the default storage type, one of another."""
    pools = tuple(
        Pool(name, directory / name, storage_type)
        for name, storage_type in (("north", "dssd"), ("south", "dssd"), ("cold", "zadara"))
    )
    settings = Settings(
        data=directory,
        store=store,
        pools=pools,
        compute_hosts=HOSTS,
        copying=copying,
        limits=unhurried(),
    )
    if store is not None and not copying:
        record_pools_elsewhere(store, settings)
    async with open_service(settings) as opened:
        await _add_accounts(opened)
        service = replace(opened, accounts=KnownAccounts(ALICE, BOB, AUDITOR))
        async with TestClient(ApiServer(make_app(service))) as client:
            yield Api(client, service)


async def _add_accounts(service: Service) -> None:
    tables = PrivateTables(service.ledger)
    for account in (ALICE, BOB, AUDITOR):
        add = partial(
            table.add,
            uuid=account.uuid,
            email=account.email,
            role=account.role,
            password_hash=NO_PASSWORD,
            created=service.now(),
        )
        assert await tables.write(add)
    tables.close()
