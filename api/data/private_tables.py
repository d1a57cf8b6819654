"""The plain tables beside the ledger: accounts, sessions, tokens."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ledger.application import Ledger
from ledger.store.seam import Cursor

T = TypeVar("T")

READERS = 2
"""Lookups at once; each takes a fraction of a millisecond."""


class PlainTables:
    """Reads and writes them without blocking the event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="plain-tables")

    async def read(self, work: Callable[[Cursor], T]) -> T:
        """What `work` finds as of the last commit.

        The writer has no part in it: nobody can keep it busy by guessing.
        """
        read = partial(self._ledger.read, work)
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def write(self, work: Callable[[Cursor], T]) -> T:
        """Runs `work` in a transaction of its own; durable on return."""
        # Shielded: a request that is cancelled must not cancel the writer's work under its hands.
        return await asyncio.shield(asyncio.wrap_future(self._ledger.exclusive(work)))

    def close(self) -> None:
        """Takes no more reads; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
