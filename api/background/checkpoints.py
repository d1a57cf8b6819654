"""Checkpoints that are kept: at the start, then every minute, or sooner if much was recorded."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.service.service import Service
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.tile_builder import TilingStopped

PAUSE_S = 60.0
MANY_EVENTS = 1_000
"""After so many events the pause is over."""
LOOK_S = 1.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def checkpointing(service: Service) -> AsyncIterator[None]:
    """Keeps checkpoints of a ledger that grows until it is left, which waits for the last one."""
    stopping = asyncio.Event()
    task = asyncio.create_task(_keep_until(stopping, service))
    try:
        yield
    finally:
        stopping.set()
        service.checkpoints.stop()
        await task


async def _keep_until(stopping: asyncio.Event, service: Service) -> None:
    while not stopping.is_set():
        kept = service.ledger.position
        await _keep(service.checkpoints)
        over = time.monotonic() + PAUSE_S
        while time.monotonic() < over and service.ledger.position < kept + MANY_EVENTS:
            if await _is_set(stopping):
                return


async def _keep(checkpoints: Checkpoints) -> None:
    """What cannot be done now is tried again next time."""
    try:
        await asyncio.to_thread(checkpoints.keep)
    except TilingStopped:
        log.info("the next start goes on with the tiles")
    except Exception:
        log.exception("no checkpoint could be made")


async def _is_set(stopping: asyncio.Event) -> bool:
    """Within the time of a look."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), LOOK_S)
    return stopping.is_set()
