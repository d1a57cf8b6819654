"""A real service, and a client of its `/api/v1` that checks each answer against the description."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.service import Service
from api.service.settings import Settings
from tests.api.begun import begin_as
from tests.api.conftest import begun, limits, service, store
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer
from tests.v1.calling import V1

__all__ = ["begun", "limits", "service", "store"]


@pytest.fixture
async def real(tmp_path: Path, begun: Path) -> AsyncIterator[V1]:
    """A service whose accounts are real."""
    begin_as(begun, tmp_path)
    settings = Settings(data=tmp_path, copying=False, limits=unhurried())
    async with (
        open_service(settings) as opened,
        TestClient(ApiServer(make_app(opened))) as client,
    ):
        yield V1(client, opened)


@pytest.fixture
async def v1(service: Service) -> AsyncIterator[V1]:
    async with TestClient(ApiServer(make_app(service))) as client:
        yield V1(client, service)
