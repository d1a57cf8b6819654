"""The writer's thread: takes waiting commands as one batch, and does other work in between.

Accounts take turns: however many commands one has waiting, another's waits for few of them.
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from datetime import datetime
from typing import Any, TypeVar

from ledger.domain.commands import Command
from ledger.domain.context import Environment, ImageData
from ledger.domain.errors.store import PauseLost, StoreFailed, StoreFull, StoreUnreachable
from ledger.store.metrics import Meter
from ledger.store.seam import Cursor, FirstListener, Listener, Projection, Store
from ledger.store.unit_of_work import NOTHING_MEASURED
from ledger.store.writer.committed import Committed
from ledger.store.writer.deciding import Decider
from ledger.store.writer.failure import Failure
from ledger.store.writer.group_commit import GroupCommit
from ledger.store.writer.progress import Progress
from ledger.store.writer.turns import Turns
from ledger.store.writer.waiting import (
    Caller,
    Turn,
    WaitingCommand,
    WaitingWork,
    reject,
    uncancelled,
    wake,
    within_answer_s,
)

T = TypeVar("T")

BATCH_LIMIT = 256
"""Commands decided in one transaction."""


def always() -> bool:
    return True


class _Withdrawn(Exception):
    """The caller of work has withdrawn it."""


class _Stop:
    """Ends the queue."""


_Item = WaitingCommand | WaitingWork | _Stop


class Writer:
    """The only writer to the store."""

    def __init__(
        self,
        store: Store,
        projection: Projection,
        environment: Environment,
        *,
        now: Callable[[], datetime],
        on_failure: Callable[[StoreFailed], None],
    ) -> None:
        """`now` is the machine's clock."""
        self._store = store
        self._failure = Failure(on_failure)
        self._progress = Progress(on_server=store.others is not None)
        self._committed = Committed(store, projection, now, self._progress, time.monotonic)
        self.clock = self._committed.clock
        self._group = GroupCommit(
            store,
            projection,
            Decider(store, projection, environment, self._committed),
            self._committed,
            self._failure,
            progress=self._progress,
            elapsed_s=time.monotonic,
        )
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._turns = Turns()
        """What was taken from the queue and waits still."""
        self._stopping = False
        self._closed = False
        self._closing = threading.Lock()
        self._asked_at = -math.inf
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def listen(self, listener: Listener, wanted: Callable[[], bool] = always) -> None:
        """Call `listener` with every commit of events from now on, in the writer's thread."""
        self._committed.listeners.append(listener)

    def listen_first(self, listener: FirstListener) -> None:
        """Call `listener` with every commit of events before anybody is told of it.

        And before and after all rows are made anew. In the writer's thread.
        """
        self._committed.first_listeners.append(listener)

    async def execute(
        self, command: Command, caller: Caller, images: ImageData = NOTHING_MEASURED
    ) -> int:
        """Decide and record the command; return the ledger's position once it is on disk.

        `images` is what was measured for it, as the writer touches no pool.

        Raises the command's `Refusal`, or `StoreFailed`; within `ANSWER_S`, in any case.
        """
        self._require_reach()
        self._asked_at = time.monotonic()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        turn = Turn()
        self._put(WaitingCommand(command, caller, loop, future, turn, images))
        return await within_answer_s(future, turn.withdraw)

    def execute_blocking(
        self, command: Command, caller: Caller, images: ImageData = NOTHING_MEASURED
    ) -> int:
        """Do the same, for threads other than an event loop's."""
        future: Future[int] = Future()
        self._put(WaitingCommand(command, caller, None, future, Turn(), images))
        return future.result()

    def exclusive(
        self, work: Callable[[Cursor], T], afterwards: Callable[[], None] | None = None
    ) -> "Future[T]":
        """Run `work` in the writer's thread, in a writing transaction between two batches.

        `afterwards` is called there once it is committed, before this or any other process commits
        anything else. If others cannot be kept from that, it is not called: `PauseLost`.
        """
        future: Future[T] = Future()
        self._put(WaitingWork(work, afterwards, future))
        return future

    async def write(self, work: Callable[[Cursor], T]) -> T:
        """Run `work` as `exclusive` does; it continues if the caller is cancelled.

        Raises what `work` raises, or `StoreFailed`; within `ANSWER_S`, in any case.
        """
        self._require_reach()
        self._asked_at = time.monotonic()
        future = self.exclusive(work)
        return await within_answer_s(uncancelled(asyncio.wrap_future(future)), future.cancel)

    @property
    def meter(self) -> Meter:
        return self._group.meter

    @property
    def commits(self) -> int:
        """How often this process has committed; incremented before any listener is called."""
        return self._committed.commits

    @property
    def position(self) -> int:
        """The position of the newest event that this process has committed, or found at its start.

        It is updated before any listener is called.
        """
        return self._committed.position

    def recorded_bytes(self) -> dict[str, int]:
        """Return how many bytes of events were recorded in the last day, by their actors."""
        return self._committed.bytes.of_all()

    @property
    def stuck_s(self) -> float:
        """For how long the thread has been busy with one thing; 0 while it waits."""
        return self._progress.stuck_s

    @property
    def unasked_s(self) -> float:
        """For how long no request has wanted anything recorded; threads of workers do not count."""
        return time.monotonic() - self._asked_at

    def await_pause(self, most_s: float) -> None:
        """Wait until no commit is under way, but no longer than this."""
        self._progress.await_pause(most_s)

    def busy(self) -> bool:
        """Whether commands or work wait."""
        return bool(self._turns) or not self._queue.empty()

    def forget(self) -> None:
        """Drop the cache, to read everything again. In the writer's thread only."""
        self._committed.cache.clear()

    def stop(self) -> None:
        """Finish what waits, then end the thread. Later calls raise `StoreFailed`."""
        with self._closing:
            self._closed = True
            self._queue.put(_Stop())
        self._thread.join()

    def _require_reach(self) -> None:
        """Let no requests pile up for a store that has long been out of reach."""
        others = self._store.others
        if others is not None and others.away:
            raise StoreUnreachable("the store is out of reach")

    def _put(self, item: _Item) -> None:
        with self._closing:
            if self._failure.error is not None or self._closed:
                raise self._failure.error or StoreUnreachable("the ledger is closed")
            self._queue.put(item)

    # The thread

    def _run(self) -> None:
        while True:
            self._progress.rest()
            batch, next_item = self._take()
            self._progress.begin()
            if batch:
                self._turns.put_back(self._group.record(batch))
            match next_item:
                case WaitingWork():
                    self._do_work(next_item)
                case _Stop():
                    self._reject_waiting()
                    return
                case None:
                    pass

    def _take(self) -> tuple[list[WaitingCommand], WaitingWork | _Stop | None]:
        """Return the commands whose turn it is, and the work that is next; wait for some.

        The end comes once nothing else waits.
        """
        self._empty_queue()
        batch: list[WaitingCommand] = []
        while self._turns and len(batch) < BATCH_LIMIT:
            item = self._turns.next()
            if isinstance(item, WaitingWork):
                return batch, item
            batch.append(item)
        return batch, None if batch else _Stop()

    def _empty_queue(self) -> None:
        """Let all that is in the queue wait for its turn; if nothing waits, wait for the first."""
        while True:
            try:
                item = self._queue.get(block=not (self._turns or self._stopping))
            except queue.Empty:
                return
            if isinstance(item, _Stop):
                self._stopping = True
            else:
                self._turns.add(item)

    def _reject_waiting(self) -> None:
        error = self._failure.error or StoreUnreachable("the ledger is closed")
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, WaitingCommand):
                wake([(item, error)])
            elif isinstance(item, WaitingWork):
                reject(item, error)

    def _do_work(self, work: WaitingWork) -> None:
        if self._failure.error is not None:
            reject(work, self._failure.error)
            return
        try:
            result = self._exclusive(work)
        except _Withdrawn:
            pass
        except StoreFull as error:  # what it may do twice is for the caller to know
            self._group.give_up_reserve()
            reject(work, error)
        except StoreUnreachable as error:  # not a failure of the store: the caller may try again
            reject(work, error)
        except StoreFailed as error:
            self._failure.note(error)
            reject(work, error)
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            reject(work, error)
        else:
            work.future.set_result(result)

    def _exclusive(self, work: WaitingWork) -> Any:
        def run(cursor: Cursor) -> Any:
            if not work.future.set_running_or_notify_cancel():
                raise _Withdrawn
            result = work.run(cursor)
            self._committed.look_at_rows(cursor)
            return result

        self._group.look_at_disk()
        with nullcontext() if work.afterwards is None else self._group.paused():
            try:
                with self._progress.in_store():
                    result = self._store.exclusive(run)
            except PauseLost:
                self.forget()  # as what was to follow might have done
                raise
            finally:
                self._committed.note_work()
            if work.afterwards is not None:
                work.afterwards()
        return result
