"""The pools of all workers, which report them in the database."""

from collections.abc import Sequence
from datetime import timedelta

from ledger.domain.context import PoolSpace
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import WorkerPool, recent_pools, report_pools

REFRESH_S = 2.0
"""How often each process reads the pools of the others."""
WORKERS_REMEMBERED_FOR = timedelta(hours=1)
"""How long the pools of a silent worker still get work."""


class WorkerRegistry:
    """The pools of all workers of a ledger in PostgreSQL, as of the last refresh.

    Any thread may read it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pools: list[WorkerPool] = []

    def pools(self) -> Sequence[WorkerPool]:
        """Return the pools, the most recently reported last; none before the first refresh."""
        return self._pools

    def refresh(self, worker: str | None, spaces: Sequence[PoolSpace]) -> None:
        """Read the pools of all workers; report `spaces`, the pools here, if a `worker` has them.

        Blocks. Raises `StoreFailed`.
        """
        with connected(self._url) as connection:
            if worker is not None:
                report_pools(connection, worker, spaces)
            self._pools = recent_pools(connection, WORKERS_REMEMBERED_FOR)
