"""Whatever is asked of a pool is asked in a thread of its own.

A pool may hang for as long as it likes, as on an NFS server that is away. That holds this thread,
and whoever needs the pool gives up after a while. Everybody else goes on.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple

from ledger.domain.errors.pools import PoolSilent

SILENCE_S = 10.0
"""How long a pool may take for one thing before those who need it are refused.

So long does a request wait in all for the pools that it needs.
"""
PASSED_OVER_S = 2.0
"""How long a pool may take before placement passes it over, if there is another."""
CLOSE_S = 1.0


class Patience:
    """How long somebody still waits, whatever is asked of however many pools."""

    def __init__(
        self, limit_s: float = math.inf, elapsed_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._left_s = limit_s
        self._elapsed_s = elapsed_s

    @property
    def left_s(self) -> float:
        return max(0.0, self._left_s)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        begun = self._elapsed_s()
        try:
            yield
        finally:
            self._left_s -= self._elapsed_s() - begun


class _Asked(NamedTuple):
    work: Callable[[], None]
    future: Future[None]


class PoolThread:
    """Asks a pool one thing after the other. Any thread may call its methods."""

    def __init__(self, pool: str, elapsed_s: Callable[[], float] = time.monotonic) -> None:
        self.pool = pool
        self.elapsed_s = elapsed_s
        self._busy_since: float | None = None
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"pool-{pool}", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """For how long the pool has been busy with one thing; 0 if it is not."""
        since = self._busy_since
        return 0.0 if since is None else self.elapsed_s() - since

    @property
    def hangs(self) -> bool:
        return self.silent_s > SILENCE_S

    def ask(self, work: Callable[[], None], *, needed: bool = True) -> "OwedByPool":
        """Begin to ask; `work` keeps what it finds. Raise `PoolSilent` if the pool hangs."""
        if self.hangs:
            raise PoolSilent(self.pool)
        asked = _Asked(work, Future())
        self._queue.put(asked)
        return OwedByPool(self, asked.future, needed=needed)

    def close(self) -> None:
        """End the thread. One that hangs is left, and ends with the process."""
        self._queue.put(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (asked := self._queue.get()) is not None:
            if not asked.future.set_running_or_notify_cancel():
                continue
            self._busy_since = self.elapsed_s()
            try:
                asked.work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                asked.future.set_exception(error)
            else:
                asked.future.set_result(None)
            finally:
                self._busy_since = None


class Owed:
    """An answer that is owed to whoever asked, in an event loop (`await`) or a thread (`wait`)."""

    def __init__(self, future: Future[None]) -> None:
        self._future = future

    @property
    def has_begun(self) -> bool:
        return self._future.running() or self._future.done()

    def wait(self, patience: Patience | None = None) -> None:
        patience = patience or Patience()
        while not self._future.done() and (left_s := self._left_s(patience)):
            with patience.waiting():
                wait([self._future], timeout=left_s)
        if self._future.done():
            self._end()

    def __await__(self) -> Generator[Any, None, None]:
        return self.answered(Patience()).__await__()

    async def answered(self, patience: Patience) -> None:
        """Wait for it; who is cancelled ends only their own wait."""
        answered = asyncio.wrap_future(self._future)
        answered.add_done_callback(_heard)
        while not answered.done() and (left_s := self._left_s(patience)):
            with patience.waiting():
                await asyncio.wait([answered], timeout=left_s)
        if answered.done():
            self._end()

    def _end(self) -> None:
        self._future.result()

    def _left_s(self, patience: Patience) -> float:
        """Return how long to wait still; 0 to go on without it."""
        return threading.TIMEOUT_MAX


class OwedByPool(Owed):
    """Whoever needs it gets `PoolSilent` once the pool has been silent for `SILENCE_S`.

    Or once they have no patience left; then the pool is not asked for them, if that has not begun.
    Whoever does not need it goes on without it after `PASSED_OVER_S`, even if the pool only has
    much to do. Others may wait for that.
    """

    def __init__(self, thread: PoolThread, future: Future[None], *, needed: bool) -> None:
        super().__init__(future)
        self._thread = thread
        self._needed = needed
        self._asked_at = thread.elapsed_s()

    def _end(self) -> None:
        if self._future.cancelled():
            raise PoolSilent(self._thread.pool)
        super()._end()

    def _left_s(self, patience: Patience) -> float:
        if not self._needed:
            waited_s = self._thread.elapsed_s() - self._asked_at
            left_s = PASSED_OVER_S - max(waited_s, self._thread.silent_s)
            return max(0.0, min(left_s, patience.left_s))
        left_s = min(SILENCE_S - self._thread.silent_s, patience.left_s)
        if left_s <= 0:
            self._future.cancel()
            raise PoolSilent(self._thread.pool)
        return min(left_s, threading.TIMEOUT_MAX)


def _heard(answered: asyncio.Future[None]) -> None:
    """Keep an error from being reported for which nobody waits any more."""
    if not answered.cancelled():
        answered.exception()
