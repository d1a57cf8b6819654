"""`GET /metrics`, at an address of its own: metrics are for the operators of the service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from socket import socket

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from api.metrics.collector import Metrics


@asynccontextmanager
async def serve_metrics(metrics: Metrics, sockets: Sequence[socket]) -> AsyncIterator[None]:
    """Serve the metrics on bound sockets. Raise OSError if they cannot be listened on."""

    async def get(_: web.Request) -> web.Response:
        return web.Response(
            body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.router.add_get("/metrics", get)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for each in sockets:
            await web.SockSite(runner, each).start()
        yield
    finally:
        await runner.cleanup()
        await metrics.close()
