"""`/healthz` and `/readyz`: for monitors and load balancers."""

from typing import Literal

from aiohttp import web

from api.http.fields import Representation
from api.http.responses import json_answer
from api.service.service import Service
from api.service.single_flight import SingleFlight


class HealthStatus(Representation, frozen=True):
    status: Literal["ok", "ready"]


class Health:
    """Handlers of both URLs. They are public, so they reveal nothing of what is recorded."""

    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._store = SingleFlight("store", self._read)

    async def alive(self, request: web.Request) -> web.Response:
        """Answer as long as the process answers anything."""
        return json_answer(HealthStatus("ok"))

    async def ready(self, request: web.Request) -> web.Response:
        """Answer if the store can be read. Raise `StoreFailed`: a 503 like all others."""
        await self._store.value()
        return json_answer(HealthStatus("ready"))

    async def close(self, _: web.Application) -> None:
        """Stop reading the store; called when the service stops."""
        await self._store.close()

    def _read(self) -> None:
        with self._views.long_snapshot() as snapshot:
            snapshot.count_jobs("", None)
