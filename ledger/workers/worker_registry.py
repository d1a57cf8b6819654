"""Which pools there are beyond those of this process: workers say so in the database."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from ledger.domain.context import PoolSpace
from ledger.domain.errors import StoreFailed
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import SeenPool, seen_pools, tell_pools

LOOK_S = 2.0
REMEMBERED = timedelta(hours=1)
"""How long work is still given to the pools of a worker that is not seen any more."""

log = logging.getLogger(__name__)


class WorkerRegistry:
    """What all workers of a ledger in PostgreSQL have, as of a few seconds ago.

    It can be read in any thread.
    """

    def __init__(self, url: str, spaces: Callable[[], Sequence[PoolSpace]]) -> None:
        """`spaces` are those of the pools here."""
        self._url = url
        self._spaces = spaces
        self._seen: list[SeenPool] = []

    def seen(self) -> Sequence[SeenPool]:
        """Nothing before the first look; what a pool was said to be last is at the end."""
        return self._seen

    @asynccontextmanager
    async def looking(self, worker: str | None) -> AsyncIterator[None]:
        """Looks, now and then; and tells of the pools here, if a `worker` works on them."""
        await asyncio.to_thread(self._look, worker)
        looking = asyncio.create_task(self._keep_looking(worker))
        try:
            yield
        finally:
            looking.cancel()

    async def _keep_looking(self, worker: str | None) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await asyncio.to_thread(self._look, worker)
            except StoreFailed as error:
                log.warning("other workers' pools could not be looked at: %s", error)

    def _look(self, worker: str | None) -> None:
        with connected(self._url) as connection:
            if worker is not None:
                tell_pools(connection, worker, self._spaces())
            self._seen = seen_pools(connection, REMEMBERED)
