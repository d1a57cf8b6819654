"""A real service, and a client of its `/api/v1` that checks each answer against the description."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.service.service import Service
from tests.api.conftest import begun, limits, service, store
from tests.support.api_server import ApiServer
from tests.v1.calling import V1

__all__ = ["begun", "limits", "service", "store"]


@pytest.fixture
async def v1(service: Service) -> AsyncIterator[V1]:
    async with TestClient(ApiServer(make_app(service))) as client:
        yield V1(client, service)
