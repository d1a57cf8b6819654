"""`/healthz` and `/readyz`: for whatever watches the service and sends it requests."""

from aiohttp import web

from api.http.responses import json_answer
from api.service.service import Service
from api.service.single_flight import SingleFlight


class Health:
    """Handlers of both URLs; anybody may ask, and learns nothing of what is recorded."""

    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._store = SingleFlight("store", self._read)

    async def alive(self, request: web.Request) -> web.Response:
        """Answered as long as the process answers anything."""
        return json_answer({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """Answered if the store can be read. Raises `StoreFailed`: a 503 as all others."""
        await self._store.value()
        return json_answer({"status": "ready"})

    async def close(self, _: web.Application) -> None:
        """Called when the service stops."""
        await self._store.close()

    def _read(self) -> None:
        with self._views.long_snapshot() as snapshot:
            snapshot.count_jobs("", None)
