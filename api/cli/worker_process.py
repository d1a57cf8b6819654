"""The life of a worker process: start, work, stop."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from api.cli.signals import asked_to_stop, end_with_store
from api.cli.sockets import telling_metrics
from api.composition import open_worker
from api.metrics.collector import of_worker
from api.service.service import Worker
from api.service.settings import WorkerSettings


async def work(settings: WorkerSettings, announce: Callable[[str], None]) -> None:
    """Works until SIGTERM or SIGINT; `announce` is told once it does.

    Raises `CannotListen`, `StoreFailed` and OSError for what keeps it from starting. If the store
    fails, the process ends here and now.
    """
    stopping = asked_to_stop()
    async with open_worker(settings) as worker, _telling_metrics(worker, settings) as metrics:
        watching = asyncio.create_task(end_with_store(worker.failed))
        announce(f"job-ledger works on {', '.join(settings.named_pools())}")
        if metrics is not None:
            announce(f"metrics at {metrics}")
        await stopping.wait()
    watching.cancel()


def _telling_metrics(
    worker: Worker, settings: WorkerSettings
) -> AbstractAsyncContextManager[str | None]:
    if settings.metrics_port is None:
        return nullcontext()
    return telling_metrics(of_worker(worker), settings.metrics_host, settings.metrics_port)
