"""How a command reaches a ledger: through the service that runs, or else by opening it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import click
from msgspec import structs

from api.admin.library import Library
from api.admin.server import connected
from api.admin.verbs import Admin, LocalAdmin
from api.composition import open_ledger, open_service
from api.data.directory import DataInUse, data_lock, holder
from api.data.location import database_of
from api.doctor.checks import clock_of, examine, examine_service
from api.doctor.findings import Check, Findings
from api.service.clocks import Clocks, now
from api.service.ids import new_id
from api.service.settings import Settings
from api.service.version import VERSION
from ledger.images.pools import Pool

T = TypeVar("T")

LOCK_WAIT_S = 5.0
"""How long a command waits for a service that starts or for another command that ends."""
PAUSE_S = 0.05


def ask(
    settings: Settings, question: Callable[[Admin], Awaitable[T]], *, images: bool = False
) -> T:
    """Ask the service that has the data directory, or else do it in this process.

    With `images` the pools are open, too. Raises `DataInUse` if the process that has the data
    directory does not answer, `DataUnusable`, and the errors of the verbs.
    """

    async def answer() -> T:
        async with open_admin(settings, images=images) as admin:
            return await question(admin)

    return asyncio.run(answer())


def ask_existing(settings: Settings, question: Callable[[Admin], Awaitable[T]]) -> T:
    """Ask about a ledger that exists: a question alone makes none."""
    database = database_of(settings.data, settings.store)
    if not database.exists():
        raise click.ClickException(f"there is no ledger at {database.address}")
    return ask(settings, question)


@asynccontextmanager
async def open_admin(settings: Settings, *, images: bool = False) -> AsyncIterator[Admin]:
    """Yield the service that has the data directory, or what is opened here once it is free."""
    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connected(settings.data))
            if client is not None:
                yield client
                return
            if _take_lock(stack, settings.data, or_raise=time.monotonic() > give_up):
                opened = _open_service_here(settings) if images else _open_ledger_here(settings)
                yield await stack.enter_async_context(opened)
                return
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def _open_ledger_here(settings: Settings) -> AsyncIterator[LocalAdmin]:
    async with open_ledger(settings.data, url=settings.store) as opened:
        accounts = opened.accounts
        yield LocalAdmin(opened.ledger, accounts, accounts.tokens, opened.retention)


@asynccontextmanager
async def _open_service_here(settings: Settings) -> AsyncIterator[LocalAdmin]:
    async with open_service(structs.replace(settings, copying=False, reserve=0)) as service:
        yield LocalAdmin(service.ledger, Library(service))


async def pools_in_use(settings: Settings) -> dict[str, Pool]:
    """Return the pools that were named, else those of the running service, else the default."""
    async with connected(settings.data) as client:
        if settings.pools or client is None:
            return settings.named_pools()
        found = (await client.call(examine_service)).pools
        return {pool.name: Pool(pool.name, Path(pool.path), pool.storage_type) for pool in found}


async def diagnose(settings: Settings) -> Findings:
    """Examine a data directory, through the service if one runs; change nothing."""
    async with connected(settings.data) as client:
        if client is not None:
            found = await client.call(examine_service)
            found.checks.append(Check("version", list(_outdated(found.version))))
            return found
    pools = [
        pool for pool in settings.named_pools().values() if settings.pools or pool.path.exists()
    ]
    database = database_of(settings.data, settings.store)
    found = examine(
        settings.data,
        database,
        pools,
        reading=Clocks(clock_of(database, now), new_id)(),
        service=None,
        archiving=False,
        limits=settings.limits,
    )
    held = holder(settings.data)
    if held is not None:
        problem = f"{DataInUse(settings.data, held.pid)}, which does not answer"
        found.checks.append(Check("service", [problem]))
    return found


def _outdated(running: str) -> Iterator[str]:
    if running != VERSION:
        yield f"the service runs version {running}, {VERSION} is installed: start it again"


def _take_lock(stack: AsyncExitStack, data: Path, *, or_raise: bool) -> bool:
    try:
        stack.enter_context(data_lock(data))
    except DataInUse:
        if or_raise:
            raise
        return False
    return True
