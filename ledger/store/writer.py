"""The group-commit writer: one thread decides every command and commits many in one transaction.

The writer takes all waiting commands, decides each against the state that the ones before it leave,
writes events and rows in one durable transaction, and then wakes all callers. A refused command
affects no other. Before each batch it drops from the cache what other processes have changed. If
another process commits first, it reads again what may be stale and repeats the batch in halves, so
that a conflict of one command costs no other. A batch whose stamps the store refuses is repeated
with the time of the store.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from ledger.domain.commands import Command
from ledger.domain.context import Discarded, Environment, Fact
from ledger.domain.decisions import decide
from ledger.domain.disk_space import DiskState, may_be_recorded
from ledger.domain.errors import (
    AlreadyClaimed,
    CommitPending,
    ConcurrentChange,
    NoStoreTime,
    Refusal,
    StoreFailed,
    StoreFull,
    StoreUnreachable,
)
from ledger.domain.events import Recorded
from ledger.domain.idempotency import Claim, RecordedClaim
from ledger.store.clock import StoreClock
from ledger.store.metrics import Meter
from ledger.store.patience import ANSWER_S, PAUSE_S, STAMP_S, read_patiently
from ledger.store.seam import (
    Commit,
    Conflict,
    Cursor,
    Listener,
    Projection,
    StampsRefused,
    Store,
)
from ledger.store.state_cache import StateCache, UnitOfWork
from ledger.store.tables import idempotency_keys as claims
from ledger.store.tables.stamps import newest_stamp

T = TypeVar("T")

BATCH_LIMIT = 256
"""Commands decided in one transaction."""
LOST_LIMIT = 2
"""Conflicts that a command may lose before other processes must wait for it."""
CONFLICT_LIMIT = 8
"""Times a single command is repeated before it is refused as a `ConcurrentChange`."""

log = logging.getLogger(__name__)


class Caller(NamedTuple):
    """The caller, as recorded in the envelope of each event.

    With a `claim`, the command is refused as `AlreadyClaimed` if that was recorded before.
    """

    actor: str
    request_id: str
    claim: Claim | None = None


class _Turn:
    """Whose turn a command is: the writer begins it, unless its caller withdraws it before."""

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._begun = False

    def begin(self) -> bool:
        """Return whether the writer may do it. In the writer's thread; may be repeated."""
        self._begun = self._begun or self._taken.acquire(blocking=False)
        return self._begun

    def withdraw(self) -> bool:
        """Return whether the writer will not do it."""
        return self._taken.acquire(blocking=False)


class _Waiting(NamedTuple):
    command: Command
    caller: Caller
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[int] | Future[int]"
    turn: _Turn


class _Work(NamedTuple):
    """Work other than a command, done between two batches in a transaction of its own.

    With an `afterwards`, other processes append nothing until it has been called. Whoever cancels
    the future before the transaction has begun withdraws the work.
    """

    run: Callable[[Cursor], Any]
    afterwards: Callable[[], None] | None
    future: "Future[Any]"


def always() -> bool:
    return True


class _Withdrawn(Exception):
    """The caller of work has withdrawn it."""


class _Stop:
    """Ends the queue."""


_Item = _Waiting | _Work | _Stop


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
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is the machine's clock."""
        self._store = store
        self._projection = projection
        self._environment = environment
        self._elapsed_s = elapsed_s
        self._on_failure = on_failure
        self._cache = StateCache(store, projection)
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._failed: StoreFailed | None = None
        self._closed = False
        self._commits = 0
        self._refused_since: float | None = None
        """Since when the store has refused the stamps of all that was to be recorded."""
        self.meter = Meter()
        with store.log() as stored:
            self._position = stored.last_position()
            self.clock = StoreClock(now, store.others, newest_stamp(stored.cursor()))
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def listen(self, listener: Listener, wanted: Callable[[], bool] = always) -> None:
        """Call `listener` with every commit of events from now on, in the writer's thread."""
        self._listeners.append(listener)

    async def execute(self, command: Command, caller: Caller) -> int:
        """Decide and record the command; return the ledger's position once it is on disk.

        Raises the command's `Refusal`, or `StoreFailed`; within `ANSWER_S`, in any case.
        """
        self._require_reach()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        turn = _Turn()
        self._put(_Waiting(command, caller, loop, future, turn))
        return await _within_answer_s(future, turn.withdraw)

    def execute_blocking(self, command: Command, caller: Caller) -> int:
        """Do the same, for threads other than an event loop's."""
        future: Future[int] = Future()
        self._put(_Waiting(command, caller, None, future, _Turn()))
        return future.result()

    def exclusive(
        self, work: Callable[[Cursor], T], afterwards: Callable[[], None] | None = None
    ) -> "Future[T]":
        """Run `work` in the writer's thread, in a writing transaction between two batches.

        `afterwards` is called there once it is committed, before this or any other process commits
        anything else.
        """
        future: Future[T] = Future()
        self._put(_Work(work, afterwards, future))
        return future

    async def write(self, work: Callable[[Cursor], T]) -> T:
        """Run `work` as `exclusive` does; it goes on if the caller is cancelled.

        Raises what `work` raises, or `StoreFailed`; within `ANSWER_S`, in any case.
        """
        self._require_reach()
        future = self.exclusive(work)
        return await _within_answer_s(asyncio.shield(asyncio.wrap_future(future)), future.cancel)

    @property
    def commits(self) -> int:
        """How often this process has committed; incremented before any listener is called."""
        return self._commits

    @property
    def position(self) -> int:
        """The position of the newest event that this process has committed, or found at its start.

        It is updated before any listener is called.
        """
        return self._position

    def busy(self) -> bool:
        """Whether commands or work wait."""
        return not self._queue.empty()

    def stop(self) -> None:
        """Finish what waits, then end the thread. Later calls raise `StoreFailed`."""
        with self._closing:
            self._closed = True
            self._queue.put(_Stop())
        self._thread.join()

    def _require_reach(self) -> None:
        """Let no requests pile up for a store that has long been out of reach."""
        if self._store.away:
            raise StoreUnreachable("the store is out of reach")

    def _put(self, item: _Item) -> None:
        with self._closing:
            if self._failed is not None or self._closed:
                raise self._failed or StoreUnreachable("the ledger is closed")
            self._queue.put(item)

    # The thread

    def _run(self) -> None:
        while True:
            batch, next_item = self._take()
            if batch:
                self._record(batch)
            match next_item:
                case _Work():
                    self._do_work(next_item)
                case _Stop():
                    self._reject_waiting()
                    return
                case None:
                    pass

    def _take(self) -> tuple[list[_Waiting], _Work | _Stop | None]:
        """Return the waiting commands, and the first other item that follows them in the queue."""
        batch: list[_Waiting] = []
        item = self._queue.get()
        while isinstance(item, _Waiting):
            batch.append(item)
            if len(batch) == BATCH_LIMIT:
                return batch, None
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, None
        return batch, item

    def _reject_waiting(self) -> None:
        error = self._failed or StoreUnreachable("the ledger is closed")
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, _Waiting):
                _wake([(item, error)])
            elif isinstance(item, _Work):
                _reject(item, error)

    def _do_work(self, work: _Work) -> None:
        if self._failed is not None:
            _reject(work, self._failed)
            return
        try:
            result = self._exclusive(work)
        except _Withdrawn:
            pass
        except StoreFull as error:  # what it may do twice is for the caller to know
            self._give_up_reserve()
            _reject(work, error)
        except StoreUnreachable as error:  # not a failure of the store: the caller may try again
            _reject(work, error)
        except StoreFailed as error:
            self._fail(error)
            _reject(work, error)
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            _reject(work, error)
        else:
            work.future.set_result(result)

    def _exclusive(self, work: _Work) -> Any:
        def run(cursor: Cursor) -> Any:
            if not work.future.set_running_or_notify_cancel():
                raise _Withdrawn
            return work.run(cursor)

        self._store.disk_state()
        with nullcontext() if work.afterwards is None else self._paused():
            result = self._store.exclusive(run)
            self._commits += 1
            if work.afterwards is not None:
                work.afterwards()
        return result

    def _paused(self) -> AbstractContextManager[None]:
        """Keep other processes from appending meanwhile."""
        return nullcontext() if self._store.others is None else self._store.others.paused()

    def _record(self, batch: list[_Waiting], repeats: int = 0) -> None:
        """Decide and commit a batch, and wake its callers."""
        if self._failed is not None:
            _wake([(waiting, self._failed) for waiting in batch])
            return
        while True:
            try:
                self._record_stamped(batch, repeats)
            except StampsRefused:
                if not self._may_stamp_again():
                    _wake([(waiting, NoStoreTime()) for waiting in batch])
                    return
            else:
                return

    def _record_stamped(self, batch: list[_Waiting], repeats: int) -> None:
        """Do the same; raise `StampsRefused`, with the callers still asleep."""
        unit = UnitOfWork(self._cache, self._projection)
        outcomes: list[tuple[_Waiting, Exception | int]] = []
        accepted: list[_Waiting] = []
        try:
            self._catch_up()
            self.clock.begin()
            disk = self._store.disk_state()
            for waiting in batch:
                if not waiting.turn.begin():
                    continue
                error = self._decide(waiting, unit, disk)
                if error is None:
                    accepted.append(waiting)
                else:
                    outcomes.append((waiting, error))
            position = self._append(unit, len(accepted)) if accepted else self._position
            self._refused_since = None
        except Conflict:
            self._cache.drop_stale(unit)
            self._repeat(batch, repeats + 1)
            return
        except StampsRefused:
            self._cache.drop_stale(unit)
            raise
        except StoreFull as error:
            self._cache.drop_stale(unit)
            self._make_room(batch, repeats, error)
            return
        except StoreUnreachable as error:  # nothing was recorded, and the store has not failed
            self._cache.drop_stale(unit)
            _wake([(waiting, error) for waiting in batch])
            return
        except StoreFailed as error:
            self._fail(error)
            _wake([(waiting, error) for waiting in batch])
            return
        except Exception as error:
            log.exception("a batch of %d commands could not be stored", len(batch))
            self._cache.drop_stale(unit)
            if len(batch) == 1:
                _wake([(batch[0], error)])
            else:
                self._repeat(batch, repeats)
            return
        self._remember(unit, position)
        self._count(outcomes, accepted)
        _wake(outcomes + [(waiting, position) for waiting in accepted])
        self._notify(unit, position)

    def _make_room(self, batch: list[_Waiting], repeats: int, error: StoreFull) -> None:
        """Give up the reserve, and record what may be recorded without it."""
        if self._give_up_reserve():
            self._record(batch, repeats)
        else:
            _wake([(waiting, error) for waiting in batch])

    def _give_up_reserve(self) -> bool:
        try:
            return self._store.give_up_reserve()
        except StoreFailed as failure:
            self._fail(failure)
            return False

    def _append(self, unit: UnitOfWork, commands: int) -> int:
        began = time.perf_counter()
        stored = unit.batch()
        position = self._store.append(stored)
        if stored.stamps is not None:
            self.clock.note(stored.stamps.newest)
        self.meter.commit_seconds.observe(time.perf_counter() - began)
        self.meter.batch_commands.observe(commands)
        return position

    def _count(
        self, refused: list[tuple[_Waiting, Exception | int]], accepted: list[_Waiting]
    ) -> None:
        commands = self.meter.commands
        for waiting in accepted:
            commands.labels(type(waiting.command).__name__, "recorded").inc()
        for waiting, error in refused:
            commands.labels(type(waiting.command).__name__, type(error).__name__).inc()

    def _catch_up(self) -> None:
        """Forget what other processes have changed: even a refusal rests on the newest state."""
        if self._store.others is None:
            return
        newest, news = self._store.others.news()
        self.clock.note(newest)
        if news is None:
            self._cache.clear()
        elif news:
            self._cache.drop_changed(news)
            self._position = max(self._position, news[-1].position)

    def _remember(self, unit: UnitOfWork, position: int) -> None:
        """Cache what was committed. If that fails, the commit stands, and is read again."""
        self._commits += 1
        self._position = position
        try:
            self._cache.remember(unit)
        except Exception:
            log.exception("the writer clears its cache")
            self.forget()

    def forget(self) -> None:
        """Drop the cache, to read everything again. In the writer's thread only."""
        self._cache.clear()

    def _repeat(self, batch: list[_Waiting], repeats: int) -> None:
        if len(batch) == 1 and repeats > CONFLICT_LIMIT:
            _wake([(batch[0], ConcurrentChange())])
            return
        if len(batch) == 1 and repeats > LOST_LIMIT:
            self._repeat_alone(batch, repeats)
            return
        middle = (len(batch) + 1) // 2
        for part in (batch[:middle], batch[middle:]):
            if part:
                self._record(part, repeats)

    def _repeat_alone(self, batch: list[_Waiting], repeats: int) -> None:
        """Make other nodes wait: a command must not lose to them forever."""
        try:
            with self._paused():
                self._record(batch, repeats)
        except StoreUnreachable as error:
            _wake([(waiting, error) for waiting in batch])

    def _may_stamp_again(self) -> bool:
        """Return whether to repeat a batch with the time as the store says it now.

        Stamps are refused once if this process stood still. If all are refused for `STAMP_S`, the
        store's time cannot be told.
        """
        now_s = self._elapsed_s()
        if self._refused_since is None:
            self._refused_since = now_s
            return True
        time.sleep(PAUSE_S)
        return now_s - self._refused_since <= STAMP_S

    def _decide(self, waiting: _Waiting, batch: UnitOfWork, disk: DiskState) -> Exception | None:
        """Stage the command's changes on the batch, or return why not."""
        if not may_be_recorded(waiting.command, disk):
            return StoreFull()
        at = self.clock.stamp()
        unit = UnitOfWork(batch, self._projection, at)
        actor, request_id, claim = waiting.caller
        try:
            if claim is not None:
                self._claim(RecordedClaim(actor, claim, at), batch, unit)
            for change in decide(waiting.command, unit, self._environment):
                match change:
                    case Fact(stream, event):
                        unit.stage(stream, Recorded(at, actor, request_id, event))
                    case Discarded():
                        unit.discard(change)
                    case _:
                        unit.secrets.append(change)
            batch.settle(unit)
        except Refusal as refusal:
            return refusal
        except StoreFailed:
            raise
        except Exception as error:
            log.exception("a command could not be decided")
            return error
        return None

    def _claim(self, wanted: RecordedClaim, batch: UnitOfWork, unit: UnitOfWork) -> None:
        """Stage the claim. It is looked up in the store, without a cache: most are new."""
        key = wanted.account, wanted.claim.key
        earlier = batch.claims.get(key) or read_patiently(
            self._store, lambda cursor: claims.find(cursor, *key)
        )
        if earlier is not None and not earlier.is_over(wanted.at):
            raise AlreadyClaimed
        unit.claims[key] = wanted

    def _notify(self, unit: UnitOfWork, position: int) -> None:
        if not self._listeners or not unit.events:
            return
        commit = Commit(
            position,
            [(stream, recorded) for stream, _, recorded in unit.events],
            unit.states(),
            unit.related(),
            unit.tasks,
        )
        for listener in self._listeners:
            try:
                listener(commit)
            except Exception:
                log.exception("a listener failed; its events are committed")

    def _fail(self, error: StoreFailed) -> None:
        """Stop for good: nothing more is begun or acknowledged."""
        if self._failed is None:
            self._failed = StoreFailed(str(error))  # of what comes later nothing is committed
            log.critical("the store failed, the process must stop: %s", error)
            with contextlib.suppress(RuntimeError):  # the event loop is closed already
                self._on_failure(error)


async def _within_answer_s(answer: Awaitable[T], withdraw: Callable[[], bool]) -> T:
    """Wait for an answer, but not for long: whoever waits for ours has a limit, too.

    Raise `StoreUnreachable` if the work could be withdrawn, `CommitPending` if it is under way.
    """
    limit = asyncio.timeout(ANSWER_S)
    try:
        async with limit:
            return await answer
    except TimeoutError:
        if not limit.expired():
            raise  # it is the work's own
        if withdraw():
            raise StoreUnreachable("the store could not be reached in time") from None
        raise CommitPending from None


def _reject(work: _Work, error: BaseException) -> None:
    """Tell the caller of work that it failed, if one waits still."""
    future = work.future
    if future.running() or (not future.cancelled() and future.set_running_or_notify_cancel()):
        future.set_exception(error)


def _wake(outcomes: list[tuple[_Waiting, Exception | int]]) -> None:
    """Wake callers with their outcomes, by one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Any, Exception | int]]] = {}
    for waiting, outcome in outcomes:
        if waiting.loop is None:
            _resolve([(waiting.future, outcome)])
        else:
            by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
    for loop, resolved in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, resolved)
        except RuntimeError:
            log.warning("an event loop closed before %d of its commands ended", len(resolved))


def _resolve(outcomes: list[tuple[Any, Exception | int]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue  # its caller went away; what was recorded stays recorded
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
