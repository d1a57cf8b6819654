"""What is deleted once its time has come: at the start, and then every hour."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, NoReturn

from api.service.service import Service

PAUSE_S = 3600.0

log = logging.getLogger(__name__)


class Expiring(NamedTuple):
    """Things of one kind; `expire` deletes those whose time has come and says how many."""

    name: str
    expire: Callable[[], Awaitable[int]]


def what_expires(service: Service) -> tuple[Expiring, ...]:
    return (
        Expiring("sessions", service.accounts.sessions.expire),
        Expiring("idempotency keys", service.claims.expire),
        Expiring("keys of the hour", service.accounts.keys.renew),
    )


@asynccontextmanager
async def expiring(things: Sequence[Expiring]) -> AsyncIterator[None]:
    """Deletes what expires until it is left."""
    task = asyncio.create_task(_expire_again_and_again(things))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _expire_again_and_again(things: Sequence[Expiring]) -> NoReturn:
    while True:
        for thing in things:
            await _expire(thing)
        await asyncio.sleep(PAUSE_S)


async def _expire(thing: Expiring) -> None:
    """What cannot be deleted now is tried again next time, and keeps nothing else."""
    try:
        deleted = await thing.expire()
    except Exception:
        log.exception("expired %s could not be deleted", thing.name)
        return
    if deleted:
        log.info("deleted %d expired %s", deleted, thing.name)
