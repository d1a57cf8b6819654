"""Reads for whatever watches the service, which must be told how it is while all else is busy."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ledger.domain.errors import StoreUnreachable

V = TypeVar("V")

READ_S = 5.0
"""How long a read may take."""


class SingleFlight(Generic[V]):
    """A read in a thread of its own, once at a time: who asks meanwhile waits for that one."""

    def __init__(self, name: str, read: Callable[[], V]) -> None:
        self._name = name
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._reading: Future[V] | None = None

    async def value(self) -> V:
        """As of now, or a little earlier.

        Raises what the read raises, and `StoreUnreachable` if it takes longer than `READ_S`; it
        goes on then.
        """
        if self._reading is None or self._reading.done():
            self._reading = self._thread.submit(self._read)
        reading = asyncio.wrap_future(self._reading)
        reading.add_done_callback(_seen)
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
        reading.add_done_callback(_seen)
        ended, _ = await asyncio.wait([reading], timeout=READ_S)
        if ended:
            self._thread.shutdown()  # it has nothing left to do


def _seen(reading: asyncio.Future[V]) -> None:
    """Retrieve what an abandoned read raises: asyncio logs it as an error otherwise."""
    if not reading.cancelled():
        reading.exception()
