"""The pools of all workers, which report them in the database."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from ledger.domain.context import PoolSpace
from ledger.images.pool_thread import Owed
from ledger.store.patience import read_patiently
from ledger.store.postgres.connections import connected, postgres_reader
from ledger.store.postgres.pool_registry import WorkerPool, recent_pools, report_pools

REFRESH_S = 2.0
"""How often each process reads the pools of the others."""
WORKERS_REMEMBERED_FOR = timedelta(hours=1)
"""How long the pools of a silent worker still get work."""


class WorkerRegistry:
    """The pools of all workers of a ledger in PostgreSQL, as they were last read.

    Any thread may use it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._reader = postgres_reader(url)
        self._pools: list[WorkerPool] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="workers-pools")
        self._lock = threading.Lock()
        self._next_look: Owed | None = None

    def pools(self) -> Sequence[WorkerPool]:
        """Return the pools, the most recently reported last; none before they were read."""
        return self._pools

    def look(self) -> Owed:
        """Begin to read the pools of all workers. Whoever waits may get `StoreFailed`.

        All who ask meanwhile share the next look, but none that has begun before they asked.
        """
        with self._lock:
            if self._next_look is None or self._next_look.has_begun:
                self._next_look = Owed(self._thread.submit(self._read))
            return self._next_look

    def refresh(self, worker: str | None, spaces: Sequence[PoolSpace]) -> None:
        """Read the pools of all workers; report `spaces`, the pools here, if a `worker` has them.

        Blocks. Raises `StoreFailed`.
        """
        with connected(self._url) as connection:
            if worker is not None:
                report_pools(connection, worker, spaces)
        self._read()

    def close(self) -> None:
        self._thread.shutdown()
        self._reader.close()

    def _read(self) -> None:
        self._pools = read_patiently(
            self._reader, lambda cursor: recent_pools(cursor, WORKERS_REMEMBERED_FOR)
        )
