"""How a command gets at a ledger: through the service that runs, or else by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from api.admin import AdminClient, connected
from api.composition import new_clocks, open_ledger, open_service
from api.databases import database_of
from api.doctor.examining import examine
from api.doctor.findings import Check, Findings
from api.doctor.looking import synchronous_of_new_connections
from api.library import LibraryOperations, OwnLibrary
from api.lock import DataInUse, data_lock, holder
from api.operations import OperationRefused, Operations, OwnOperations
from api.retention import OwnRetention, RetentionOperations
from api.settings import Settings
from ledger.images import Pool

T = TypeVar("T")

TAKING_S = 5.0
"""How long a command waits for a service that starts or for another command that ends."""
PAUSE_S = 0.05


@asynccontextmanager
async def operations(data: Path) -> AsyncIterator[Operations]:
    """The operations on a data directory: of the service that runs, else done in this process.

    Raises `DataInUse` if somebody has it who does not answer, and `DataUnusable`.
    """

    async def own(stack: AsyncExitStack) -> Operations:
        opened = await stack.enter_async_context(open_ledger(data))
        return OwnOperations(opened.ledger, opened.accounts)

    async with _reached(data, own) as reached:
        yield reached


@asynccontextmanager
async def library(settings: Settings) -> AsyncIterator[LibraryOperations]:
    """The library of a data directory, likewise."""

    async def own(stack: AsyncExitStack) -> LibraryOperations:
        still = settings.model_copy(update={"copying": False})
        return OwnLibrary(await stack.enter_async_context(open_service(still)))

    async with _reached(settings.data, own) as reached:
        yield reached


@asynccontextmanager
async def retention(data: Path) -> AsyncIterator[RetentionOperations]:
    """The retention of a data directory that there is, likewise."""
    database = database_of(data)
    if not database.exists():
        raise OperationRefused(f"there is no ledger at {database.address}")

    async def own(stack: AsyncExitStack) -> RetentionOperations:
        opened = await stack.enter_async_context(open_ledger(data))
        return OwnRetention(opened.retention)

    async with _reached(data, own) as reached:
        yield reached.retention if isinstance(reached, AdminClient) else reached


@asynccontextmanager
async def _reached(
    data: Path, own: Callable[[AsyncExitStack], Awaitable[T]]
) -> AsyncIterator[T | AdminClient]:
    """The service that has the data directory, or what `own` opens once nobody has it."""
    give_up = time.monotonic() + TAKING_S
    while True:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connected(data))
            if client is not None:
                yield client
                return
            if _taken(stack, data, or_raise=time.monotonic() > give_up):
                yield await own(stack)
                return
        await asyncio.sleep(PAUSE_S)


async def pools_in_use(settings: Settings) -> dict[str, Pool]:
    """The pools that were named, or else those of the service that runs, or those by default."""
    async with connected(settings.data) as client:
        if settings.pools or client is None:
            return {pool.name: pool for pool in settings.named_pools()}
        found = (await client.examine()).pools
        return {pool.name: Pool(pool.name, Path(pool.path), pool.storage_type) for pool in found}


async def diagnose(settings: Settings) -> Findings:
    """Examines a data directory, by the service if one runs; changes nothing."""
    async with connected(settings.data) as client:
        if client is not None:
            return await client.examine()
    pools = [pool for pool in settings.named_pools() if settings.pools or pool.path.exists()]
    found = examine(
        settings.data,
        database_of(settings.data),
        pools,
        synchronous=synchronous_of_new_connections,
        clocks=new_clocks(),
        service=None,
        archiving=False,
    )
    held = holder(settings.data)
    if held is not None:
        problem = f"{DataInUse(settings.data, held.pid)}, which does not answer"
        found.checks.append(Check("service", [problem]))
    return found


def _taken(stack: AsyncExitStack, data: Path, *, or_raise: bool) -> bool:
    try:
        stack.enter_context(data_lock(data))
    except DataInUse:
        if or_raise:
            raise
        return False
    return True
