"""How a command gets at a ledger: through the service that runs, or else by itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from api.admin import connected
from api.composition import LEDGER_FILE, open_ledger, open_service
from api.doctor import Findings, examine, synchronous_of_new_connections
from api.library import LibraryOperations, OwnLibrary
from api.lock import DataInUse, data_lock, holder
from api.operations import Operations, OwnOperations
from api.settings import Settings

TAKING_S = 5.0
"""How long a command waits for a service that starts or for another command that ends."""
PAUSE_S = 0.05


@asynccontextmanager
async def operations(data: Path) -> AsyncIterator[Operations]:
    """The operations on a data directory: of the service that runs, else done in this process.

    Raises `DataInUse` if somebody has it who does not answer, and `DataUnusable`.
    """
    give_up = time.monotonic() + TAKING_S
    while True:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connected(data))
            if client is not None:
                yield client
                return
            if _taken(stack, data, or_raise=time.monotonic() > give_up):
                opened = await stack.enter_async_context(open_ledger(data))
                yield OwnOperations(opened.ledger, opened.accounts)
                return
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def library(settings: Settings) -> AsyncIterator[LibraryOperations]:
    """The library of a data directory, likewise."""
    give_up = time.monotonic() + TAKING_S
    while True:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connected(settings.data))
            if client is not None:
                yield client
                return
            if _taken(stack, settings.data, or_raise=time.monotonic() > give_up):
                still = settings.model_copy(update={"copying": False})
                yield OwnLibrary(await stack.enter_async_context(open_service(still)))
                return
        await asyncio.sleep(PAUSE_S)


async def diagnose(settings: Settings) -> Findings:
    """Examines a data directory, by the service if one runs; changes nothing."""
    async with connected(settings.data) as client:
        if client is not None:
            return await client.examine()
    pools = [pool for pool in settings.named_pools() if settings.pools or pool.path.exists()]
    found = examine(
        settings.data / LEDGER_FILE,
        pools,
        synchronous=synchronous_of_new_connections,
        service=None,
    )
    held = holder(settings.data)
    if held is not None:
        found.problems.append(f"{DataInUse(settings.data, held.pid)}, which does not answer")
    return found


def _taken(stack: AsyncExitStack, data: Path, *, or_raise: bool) -> bool:
    try:
        stack.enter_context(data_lock(data))
    except DataInUse:
        if or_raise:
            raise
        return False
    return True
