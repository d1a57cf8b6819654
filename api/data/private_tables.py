"""The private tables beside the ledger: accounts, sessions, tokens, idempotency keys."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ledger.application import Ledger
from ledger.store.seam import Cursor

T = TypeVar("T")

READERS = 2
"""Concurrent lookups; each takes a fraction of a millisecond."""


class PrivateTables:
    """Reads and writes the tables without blocking the event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="private-tables")

    async def read(self, work: Callable[[Cursor], T]) -> T:
        """Return what `work` finds as of the last commit.

        The writer takes no part in it, so guessing at logins cannot keep it busy.
        """
        read = partial(self._ledger.read, work)
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def write(self, work: Callable[[Cursor], T]) -> T:
        """Run `work` in a transaction of its own; durable on return."""
        return await self._ledger.write(work)

    def close(self) -> None:
        """Take no more reads; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
