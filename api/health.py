"""`/healthz` and `/readyz`: for whatever watches the service and sends it requests."""

import asyncio

from aiohttp import web

from api.answers import aside, json_answer
from api.service import Service
from ledger.errors import StoreUnreachable

READ_S = 5.0
"""How long the store may take to be read."""


class Health:
    """Handlers of both URLs; anybody may ask, and learns nothing of what is recorded."""

    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._reading: asyncio.Task[None] | None = None

    async def alive(self, request: web.Request) -> web.Response:
        """Answered as long as the process answers anything."""
        return json_answer({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """Answered if the store can be read. Raises `StoreFailed`: a 503 as all others.

        There is one read at a time: who asks meanwhile waits for that one.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(aside(self._read))
        try:
            async with asyncio.timeout(READ_S):
                await asyncio.shield(self._reading)
        except TimeoutError:
            raise StoreUnreachable("the store does not answer") from None
        return json_answer({"status": "ready"})

    def _read(self) -> None:
        with self._views.long_snapshot() as snapshot:
            snapshot.count_jobs("", None)
