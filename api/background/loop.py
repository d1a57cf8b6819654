"""Background loops: work that a process repeats, with pauses, until it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from ledger.store.patience import OutageLog

log = logging.getLogger(__name__)


@asynccontextmanager
async def repeat(
    work: Callable[[], Awaitable[None]],
    pause_s: float,
    *,
    failure: str,
    start_s: float = 0.0,
    stop: Callable[[], None] | None = None,
) -> AsyncIterator[None]:
    """Do `work` again and again until the block is left; `start_s` is the pause before the first.

    Work that fails is tried again after the pause; the log says `failure` now and then. On the way
    out, work is cancelled; but work in a thread cannot be, so `stop` asks it to end, and it is
    waited for.
    """
    stopping = asyncio.Event()
    task = asyncio.create_task(_repeat_until(stopping, work, pause_s, failure, start_s))
    try:
        yield
    finally:
        if stop is None:
            task.cancel()
        else:
            stopping.set()
            stop()
        await asyncio.wait([task])


async def _repeat_until(
    stopping: asyncio.Event,
    work: Callable[[], Awaitable[None]],
    pause_s: float,
    failure: str,
    start_s: float,
) -> None:
    outage = OutageLog(log, failure)
    await _pause(stopping, start_s)
    while not stopping.is_set():
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - it is logged, and tried again
            outage.failed(error)
        else:
            outage.works()
        await _pause(stopping, pause_s)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
