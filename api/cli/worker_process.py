"""The life of a worker process: start, work, stop."""

import asyncio
from collections.abc import Callable

from api.cli.signals import end_with_store, stop_event
from api.cli.sockets import Sockets, bound_for_metrics, metrics_endpoint
from api.cli.supervision import Supervisor, supervised
from api.composition import open_worker
from api.metrics.collector import of_worker
from api.service.settings import WorkerSettings


async def work(
    settings: WorkerSettings, announce: Callable[[str], None], supervisor: Supervisor
) -> None:
    """Work until SIGTERM or SIGINT; announce when it begins.

    Raises `CannotListen`, `StoreFailed` or OSError if it cannot start. If the store fails, the
    process ends at once.
    """
    stopping = stop_event()
    with bound_for_metrics(settings) as sockets:
        await _work(settings, announce, supervisor, sockets, stopping)


async def _work(
    settings: WorkerSettings,
    announce: Callable[[str], None],
    supervisor: Supervisor,
    sockets: Sockets,
    stopping: asyncio.Event,
) -> None:
    async with (
        open_worker(settings) as worker,
        metrics_endpoint(lambda: of_worker(worker), sockets) as metrics,
    ):
        watching = asyncio.create_task(end_with_store(worker.failed))
        status = f"works on {', '.join(settings.named_pools())}"
        announce(f"job-ledger {status}")
        if metrics is not None:
            announce(f"metrics at {metrics}")
        async with supervised(supervisor, worker.ledger, status):
            await stopping.wait()
    watching.cancel()
