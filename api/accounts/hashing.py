"""Turns at hashing passwords: two at a time, in threads that leave the processors to others.

A hash takes half a second by design. Those that are likely to be right come first, and those from
addresses that have been wrong before take one of the two turns at most.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from api.accounts.hash_queue import HashQueue
from api.accounts.limits import LoginLimits
from api.accounts.meter import LoginMeter
from api.accounts.throttle import QueueFull, Rank

T = TypeVar("T")

HASHING_MAX = 2
"""Hashes computed at once; each takes 64 MiB and some cores."""
NICENESS = 10
FULL_RETRY_S = 5

Admit = Callable[[], Rank]
"""Returns the rank of a password, or raises `TooManyAttempts`."""


class _Waiting(NamedTuple):
    admit: Admit
    network: str
    since: float
    granted: "asyncio.Future[Rank]"


class Hashing:
    """Grants turns. For one event loop, which it never blocks."""

    def __init__(self, limits: LoginLimits, meter: LoginMeter) -> None:
        self._meter = meter
        self._queue: HashQueue[_Waiting] = HashQueue(
            length_max=limits.logins_waiting, at_address_max=limits.logins_waiting_at_address
        )
        self._running: list[Rank] = []
        self._threads = ThreadPoolExecutor(
            HASHING_MAX, thread_name_prefix="password", initializer=_be_nice
        )

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, admit: Admit, network: str) -> AsyncIterator[Rank]:
        """Wait for a turn, and yield the rank with which it was admitted in the end.

        It is admitted again when its turn comes, as others may have failed meanwhile. Raise
        `TooManyAttempts`, or `QueueFull` if it makes room for others.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(admit, network, loop.time(), loop.create_future())
        self._put(waiting, admit())
        self._grant()
        rank = await self._granted(waiting)
        self._meter.wait_seconds.observe(loop.time() - waiting.since)
        try:
            yield rank
        finally:
            self._end(rank)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do the work of a turn."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Take no more work; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _put(self, waiting: _Waiting, rank: Rank) -> None:
        dropped = self._queue.add(waiting, rank, waiting.network)
        if dropped is not None and not dropped.granted.done():
            dropped.granted.set_exception(QueueFull(FULL_RETRY_S))

    def _grant(self) -> None:
        while len(self._running) < HASHING_MAX:
            waiting = self._queue.take(failing=self._may_take_failing())
            if waiting is None:
                return
            if not waiting.granted.done():  # else it was cancelled
                self._admit_again(waiting)

    def _admit_again(self, waiting: _Waiting) -> None:
        try:
            rank = waiting.admit()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for the one who waits
            waiting.granted.set_exception(error)
            return
        if rank.place_class == "failing" and not self._may_take_failing():
            self._put(waiting, rank)
            return
        self._running.append(rank)
        waiting.granted.set_result(rank)

    def _may_take_failing(self) -> bool:
        return all(rank.place_class != "failing" for rank in self._running)

    async def _granted(self, waiting: _Waiting) -> Rank:
        try:
            return await waiting.granted
        except asyncio.CancelledError:
            # Granted and cancelled at the same time: nobody else would end this turn.
            if not waiting.granted.cancelled() and waiting.granted.exception() is None:
                self._end(waiting.granted.result())
            raise

    def _end(self, rank: Rank) -> None:
        self._running.remove(rank)
        self._grant()


def _be_nice() -> None:
    """Give a thread of the pool, and those that a hash starts, a low priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
