"""The life of a service process: start, listen, stop."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import structs

from api.admin.server import AdminServer
from api.app import make_app
from api.cli.demo import Demo, make_demo
from api.cli.signals import end_with_store, stop_event
from api.cli.sockets import (
    CannotListen,
    Sockets,
    bound,
    bound_for_metrics,
    metrics_endpoint,
    urls_of,
)
from api.cli.supervision import Supervisor, supervised
from api.composition import open_service
from api.data.directory import check_free, data_lock
from api.http.wire.server import ApiRunner
from api.metrics.collector import of_service
from api.metrics.request_counts import RequestCounts
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.errors import Refusal
from ledger.images.errors import ImageError

REQUESTS_END_S = 9
"""How long requests may take to finish once the service is asked to stop ..."""
CONNECTIONS_END_S = 1
"""... and then their connections."""

log = logging.getLogger(__name__)


class Share(NamedTuple):
    """One of several processes of a service, which all listen on one port.

    Process 0 does what is done once for all of them.
    """

    number: int
    port: int


async def serve(
    settings: Settings,
    announce: Callable[[str], None],
    supervisor: Supervisor,
    share: Share | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; announce the address once it listens, and the demo.

    The processes of a service share its data directory, which the caller has locked.

    Raises `DataInUse`, `DataUnusable`, `KeyUnusable`, `CannotListen`, `StoreFailed` or OSError if
    it cannot start. If the store fails, the process ends at once.
    """
    stopping = stop_event()
    number = 0 if share is None else share.number
    first = number == 0
    if not first:
        settings = _without_work(settings)
    with (
        _bound(settings, share) as sockets,
        bound_for_metrics(settings, number) as metrics_sockets,
        nullcontext() if share else data_lock(settings.data),
    ):
        async with open_service(settings) as service:
            watching = asyncio.create_task(end_with_store(service.failed))
            demo = await _demo(service, settings)
            requests = RequestCounts()
            async with (
                AdminServer(service) if first else nullcontext(),
                _listening(service, settings, sockets, requests),
                metrics_endpoint(lambda: of_service(service, requests), metrics_sockets) as metrics,
            ):
                urls = urls_of(sockets)
                listens = f"listens on {' and '.join(urls)}"
                if first:
                    announce(f"job-ledger {listens}")
                if metrics is not None:
                    announce(f"metrics at {metrics}")
                for line in demo.announcement(urls[0]) if demo else ():
                    announce(line)
                async with supervised(supervisor, service.ledger, listens):
                    await stopping.wait()
                log.info("stopping")
        watching.cancel()


@contextmanager
def _bound(settings: Settings, share: Share | None) -> Iterator[Sockets]:
    """Bind the port, unless a process that has the data directory is the reason why it is taken."""
    if share is None:
        check_free(settings.data)
    port = settings.port if share is None else share.port
    with bound(settings.host, port, "alone" if share is None else "shared") as sockets:
        yield sockets


def _without_work(settings: Settings) -> Settings:
    """Return the settings of the other processes: they have the pools, and only receive images."""
    pools = tuple(settings.named_pools().values()) if settings.copying else settings.pools
    return structs.replace(settings, copying=False, demo=False, pools=pools)


class _OpenRequests:
    """The requests that are being answered, so that stopping can wait for them.

    aiohttp alone waits too, but stops reading: a request whose body is still arriving would never
    end.
    """

    def __init__(self) -> None:
        self._count = 0
        self._stopping = False
        self._changed = asyncio.Event()

    def watch(self, app: web.Application) -> None:
        """Count the requests of an application; a websocket counts until it closes."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._count += 1
            try:
                response = await handler(request)
                if self._stopping:
                    response.force_close()
                return response
            finally:
                self._count -= 1
                self._changed.set()

        app.middlewares.insert(0, counted)

    async def end(self) -> None:
        """Wait, within limits, for the last one; their connections take no further requests."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REQUESTS_END_S):
                while self._count:
                    self._changed.clear()
                    await self._changed.wait()


@asynccontextmanager
async def _listening(
    service: Service, settings: Settings, sockets: Sockets, requests: RequestCounts
) -> AsyncIterator[None]:
    """Answer requests; on the way out, wait for open requests."""
    app = make_app(service)
    open_requests = _OpenRequests()
    open_requests.watch(app)
    if settings.metrics_port is not None:
        requests.watch(app)
    runner = ApiRunner(
        app,
        prefix=service.new_id(),
        handler_cancellation=True,
        shutdown_timeout=CONNECTIONS_END_S,
    )
    await runner.setup()
    try:
        await _listen(runner, sockets)
        yield
        for site in runner.sites:
            await site.stop()
        service.feed.close()  # long polls would not end by themselves
        await open_requests.end()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, sockets: Sockets) -> None:
    for each in sockets:
        host, port = each.getsockname()[:2]
        try:
            await web.SockSite(runner, each).start()
        except OSError as error:  # another process has begun to listen since
            raise CannotListen.at(host, port, error) from error


async def _demo(service: Service, settings: Settings) -> Demo | None:
    """Make the demo if the settings ask for it; the service runs without it, too."""
    if not settings.demo:
        return None
    try:
        return await make_demo(service, settings.data)
    except (Refusal, ImageError, OSError) as error:
        log.error("the demo could not be made: %s", error)  # noqa: TRY400 - expected, no traceback
        return None
