"""Threads in which requests read and write images: some for each pool.

A pool that hangs holds its own. Whoever waits for it gives up in the end, and everybody else goes
on.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ledger.domain.errors.pools import PoolSilent
from ledger.workers.ending import end_threads

T = TypeVar("T")

PROMPT_THREADS = 8
PROMPT_S = 30.0
"""How long a request waits for what is a matter of moments, such as a block to be written."""
LASTING_THREADS = 4
LASTING_S = 900.0
"""How long it waits for what may take a while, such as a whole image to be durable."""


class TransferThreads:
    """Used in event loops."""

    def __init__(self, pools: Iterable[str]) -> None:
        self._prompt = {
            pool: ThreadPoolExecutor(PROMPT_THREADS, thread_name_prefix=f"transfer-{pool}")
            for pool in pools
        }
        self._lasting = {
            pool: ThreadPoolExecutor(LASTING_THREADS, thread_name_prefix=f"durable-{pool}")
            for pool in self._prompt
        }

    async def run(
        self,
        pool: str,
        work: Callable[[], T],
        *,
        lasting: bool = False,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """Return what the work does. Raise `PoolSilent` if that takes too long.

        Work that nobody waits for any more is not begun; if it was, `undo` gets its result.
        """
        threads, limit_s = (self._lasting, LASTING_S) if lasting else (self._prompt, PROMPT_S)
        future = threads[pool].submit(work)
        waited = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waited], timeout=limit_s)
        except asyncio.CancelledError:
            self._leave(pool, future, waited, undo)
            raise
        if waited.done():
            return waited.result()
        self._leave(pool, future, waited, undo)
        raise PoolSilent(pool)

    def begin(self, pool: str, work: Callable[[], object]) -> None:
        """Do work for which nobody waits, such as to close a file: a pool that hangs holds it."""
        try:
            self._prompt[pool].submit(work)
        except RuntimeError:  # the threads have ended
            work()

    async def clean_up(self, pool: str, work: Callable[[], object]) -> None:
        """Do what must follow an error, also if cancelled; a pool that hangs does it later."""
        done = asyncio.wrap_future(self._lasting[pool].submit(work))
        await asyncio.wait([done], timeout=PROMPT_S)
        if done.done():
            done.result()

    @property
    def executors(self) -> Iterable[ThreadPoolExecutor]:
        return (*self._prompt.values(), *self._lasting.values())

    def close(self) -> None:
        """Finish what is under way, as far as the pools answer."""
        end_threads(self.executors)

    def _leave(
        self,
        pool: str,
        future: Future[T],
        waited: asyncio.Future[T],
        undo: Callable[[T], object] | None,
    ) -> None:
        if not waited.cancel():
            waited.exception()  # nobody hears of it
        if future.cancel() or undo is None:
            return

        def undo_it(done: Future[T]) -> None:
            if done.exception() is None:  # called here, in the event loop, if it is done already
                self.begin(pool, partial(undo, done.result()))

        future.add_done_callback(undo_it)
