"""The life of a worker process: start, work, stop."""

import asyncio
from collections.abc import Callable

from api.cli.stopping import asked_to_stop, end_with_store
from api.composition import open_worker
from api.settings import WorkerSettings


async def work(settings: WorkerSettings, announce: Callable[[str], None]) -> None:
    """Works until SIGTERM or SIGINT; `announce` is told once it does.

    Raises `StoreFailed` and OSError for what keeps it from starting. If the store fails, the
    process ends here and now.
    """
    stopping = asked_to_stop()
    async with open_worker(settings) as failed:
        watching = asyncio.create_task(end_with_store(failed))
        names = ", ".join(pool.name for pool in settings.named_pools())
        announce(f"job-ledger works on {names}")
        await stopping.wait()
    watching.cancel()
