"""The pools beyond those of this process: workers record theirs in the database."""

from collections.abc import Sequence
from datetime import timedelta

from ledger.domain.context import PoolSpace
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import SeenPool, seen_pools, tell_pools

REMEMBERED_FOR = timedelta(hours=1)
"""How long work is still given to the pools of a worker that is not seen any more."""


class WorkerRegistry:
    """The pools of all workers of a ledger in PostgreSQL, as of the last look.

    Any thread may read it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: list[SeenPool] = []

    def seen(self) -> Sequence[SeenPool]:
        """Return nothing before the first look; the newest entry of a pool is the last one."""
        return self._seen

    def look(self, worker: str | None, spaces: Sequence[PoolSpace]) -> None:
        """Read the pools of all workers; record `spaces`, the pools here, if a `worker` has them.

        Blocks. Raises `StoreFailed`.
        """
        with connected(self._url) as connection:
            if worker is not None:
                tell_pools(connection, worker, spaces)
            self._seen = seen_pools(connection, REMEMBERED_FOR)
