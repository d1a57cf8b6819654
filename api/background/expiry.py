"""Deletes what has expired: at the start of the service, and then every hour."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

from api.background.loop import repeat
from api.service.service import Service

PAUSE_S = 3600.0

log = logging.getLogger(__name__)


class Expiring(NamedTuple):
    """Things of one kind; `expire` deletes the expired ones and returns their number."""

    name: str
    expire: Callable[[], Awaitable[int]]


def expiring_things(service: Service) -> tuple[Expiring, ...]:
    return (
        Expiring("sessions", service.accounts.sessions.expire),
        Expiring("tokens", service.accounts.tokens.expire),
        Expiring("known places", service.accounts.expire_places),
        Expiring("idempotency keys", service.idempotency_keys.expire),
        Expiring("hourly keys", service.accounts.keys.expire),
    )


@asynccontextmanager
async def delete_expired(things: Sequence[Expiring]) -> AsyncIterator[None]:
    """Delete what expires, each kind in a loop of its own: one that fails holds up no other."""
    async with AsyncExitStack() as stack:
        for thing in things:
            failure = f"expired {thing.name} could not be deleted"
            loop = repeat(partial(_delete, thing), PAUSE_S, failure=failure)
            await stack.enter_async_context(loop)
        yield


async def _delete(thing: Expiring) -> None:
    deleted = await thing.expire()
    if deleted:
        log.info("deleted %d expired %s", deleted, thing.name)
