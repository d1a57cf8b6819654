"""Checkpoints that are kept: at the start, then every minute, or sooner if much was recorded."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from api.service import Service

PAUSE_S = 60.0
MANY_EVENTS = 1_000
"""After so many events the pause is over."""
LOOK_S = 1.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def checkpointing(service: Service) -> AsyncIterator[None]:
    """Keeps checkpoints of a ledger that grows until it is left."""
    task = asyncio.create_task(_keep_again_and_again(service))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep_again_and_again(service: Service) -> NoReturn:
    ledger = service.ledger
    while True:
        kept = ledger.position
        await _keep(service)
        over = time.monotonic() + PAUSE_S
        while time.monotonic() < over and ledger.position < kept + MANY_EVENTS:  # noqa: ASYNC110 - cheaper than to be told of every commit
            await asyncio.sleep(LOOK_S)


async def _keep(service: Service) -> None:
    """What cannot be done now is tried again next time."""
    try:
        await asyncio.to_thread(service.checkpoints.keep)
    except Exception:
        log.exception("no checkpoint could be made")
