"""Reads for monitoring, which has to work while everything else is busy."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ledger.domain.errors.store import StoreUnreachable

V = TypeVar("V")

READ_S = 5.0
"""How long a caller waits for a read."""


class SingleFlight(Generic[V]):
    """A read in a thread of its own, one at a time: callers share the read under way."""

    def __init__(self, name: str, read: Callable[[], V]) -> None:
        self._name = name
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._reading: Future[V] | None = None

    async def value(self) -> V:
        """Return the result of a read that began now, or a little earlier.

        Raise what the read raises, and `StoreUnreachable` if it takes longer than `READ_S`; the
        read itself continues then.
        """
        if self._reading is None or self._reading.done():
            self._reading = self._thread.submit(self._read)
        reading = asyncio.wrap_future(self._reading)
        reading.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(READ_S):
                return await asyncio.shield(reading)
        except TimeoutError:
            raise StoreUnreachable(f"the {self._name} took too long to be read") from None

    async def close(self) -> None:
        """Stop the thread; wait at most `READ_S` for a read under way, and drop what it raises."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._reading is None:
            return
        reading = asyncio.wrap_future(self._reading)
        reading.add_done_callback(_retrieve)
        ended, _ = await asyncio.wait([reading], timeout=READ_S)
        if ended:
            self._thread.shutdown()  # it has nothing left to do


def _retrieve(reading: asyncio.Future[V]) -> None:
    """Retrieve the error of an abandoned read, which asyncio would log otherwise."""
    if not reading.cancelled():
        reading.exception()
