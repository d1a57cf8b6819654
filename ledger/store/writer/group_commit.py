"""Batches of commands: decided one after the other, and committed in one transaction.

A transaction takes no further command once it is large, or has taken long to decide: others wait.

A refused command affects no other. Before each batch, what other processes have changed is dropped
from the cache. If another process commits first, what may be stale is read again and the batch
repeated: soon while others wait, and if it conflicts even then, in halves, so that a conflict of
one command costs no other. A batch whose stamps the store refuses is repeated with the time of the
store.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from ledger.domain.disk_space import DiskState
from ledger.domain.errors.pools import NotMeasured
from ledger.domain.errors.store import (
    ConcurrentChange,
    NoStoreTime,
    StoreFailed,
    StoreFull,
    StoreUnreachable,
)
from ledger.store.metrics import Meter
from ledger.store.patience import PAUSE_S, STAMP_S
from ledger.store.seam import Conflict, Projection, StampsRefused, Store
from ledger.store.unit_of_work import UnitOfWork
from ledger.store.writer.committed import Committed
from ledger.store.writer.deciding import Decider
from ledger.store.writer.failure import Failure
from ledger.store.writer.progress import Progress
from ledger.store.writer.waiting import WaitingCommand, wake

BATCH_BYTES = 2**20
"""Once the events of a transaction have this many bytes, it takes no further command."""
LOST_LIMIT = 2
"""Conflicts that a batch may lose before other processes must wait for it."""
BATCH_S = 0.1
"""Once so long has been spent on deciding, neither does it."""
CONFLICT_LIMIT = 8
"""Times a single command is repeated before it is refused as a `ConcurrentChange`."""

log = logging.getLogger(__name__)


class _Tried:
    """The commands that were decided for one transaction."""

    def __init__(self, unit: UnitOfWork) -> None:
        self.unit = unit
        self.commands: list[WaitingCommand] = []
        self.accepted: list[WaitingCommand] = []
        self.refused: list[tuple[WaitingCommand, Exception]] = []


class _Lost(Exception):
    """Another process was first: nothing of these commands is recorded."""

    def __init__(self, commands: list[WaitingCommand]) -> None:
        self.commands = commands


class GroupCommit:
    """Records batches. In the writer's thread."""

    def __init__(
        self,
        store: Store,
        projection: Projection,
        decider: Decider,
        committed: Committed,
        failure: Failure,
        *,
        progress: Progress,
        elapsed_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._projection = projection
        self._decider = decider
        self._committed = committed
        self._failure = failure
        self._progress = progress
        self._elapsed_s = elapsed_s
        self._refused_since: float | None = None
        """Since when the store has refused the stamps of all that was to be recorded."""
        self.meter = Meter()

    def record(self, batch: list[WaitingCommand], repeats: int = 0) -> list[WaitingCommand]:
        """Decide and commit commands of a batch in one transaction, and wake their callers.

        Return those that are left, for which it had no room.
        """
        if self._failure.error is not None:
            wake([(waiting, self._failure.error) for waiting in batch])
            return []
        try:
            # A batch must not lose to other nodes forever.
            with self.paused() if repeats > LOST_LIMIT else nullcontext():
                return self._record_some(batch, repeats)
        except StampsRefused:
            if self._may_stamp_again():
                return batch
            wake([(waiting, NoStoreTime()) for waiting in batch])
        except StoreUnreachable as error:
            wake([(waiting, error) for waiting in batch])
        except _Lost as lost:
            self._repeat(lost.commands, repeats + 1)
            return batch[len(lost.commands) :]
        return []

    def paused(self) -> AbstractContextManager[None]:
        """Keep other processes from appending meanwhile."""
        return nullcontext() if self._store.others is None else self._store.others.paused()

    def look_at_disk(self) -> DiskState:
        """Return how full the ledger's disk is; a database server reports a full one itself."""
        return DiskState.ROOMY if self._store.disk is None else self._store.disk.look()

    def give_up_reserve(self) -> bool:
        """Make room on a full disk; return whether there is some now."""
        try:
            return self._store.disk is not None and self._store.disk.give_up()
        except StoreFailed as failure:
            self._failure.note(failure)
            return False

    def _record_some(self, batch: list[WaitingCommand], repeats: int) -> list[WaitingCommand]:
        """Do the same. Raise `StampsRefused` or `_Lost` while all callers still wait."""
        tried = _Tried(UnitOfWork(self._committed.cache, self._projection))
        try:
            self._decide(batch, tried)
            position = self._append(tried) if tried.accepted else self._committed.position
        except Exception as error:  # noqa: BLE001 - each kind is handled
            return self._go_on_after(error, batch, tried, repeats)
        self._refused_since = None
        commit = self._committed.remember(tried.unit, position)
        self._count(tried)
        wake([*tried.refused, *((waiting, position) for waiting in tried.accepted)])
        self._committed.tell(commit)
        return batch[len(tried.commands) :]

    def _decide(self, batch: list[WaitingCommand], tried: _Tried) -> None:
        """Decide commands one after the other, until their events are enough for a transaction.

        One for which something must be measured leaves the batch: its caller brings it again.
        """
        self._committed.catch_up()
        self._committed.clock.begin()
        disk = self.look_at_disk()
        began_s = self._elapsed_s()
        for waiting in list(batch):
            long = tried.commands and self._elapsed_s() - began_s >= BATCH_S
            if long or tried.unit.stored_bytes >= BATCH_BYTES:
                return
            if not waiting.turn.begin():
                tried.commands.append(waiting)
                continue
            error = self._decider.decide(waiting, tried.unit, disk)
            if isinstance(error, NotMeasured):
                # What it needs can be read during the commit, so it is in the next batch.
                batch.remove(waiting)
                wake([(waiting, error)])
                continue
            tried.commands.append(waiting)
            if error is None:
                tried.accepted.append(waiting)
            else:
                tried.refused.append((waiting, error))

    def _go_on_after(
        self, error: Exception, batch: list[WaitingCommand], tried: _Tried, repeats: int
    ) -> list[WaitingCommand]:
        """Repeat what was tried in vain, or wake its callers; return the commands that are left."""
        self._committed.cache.drop_stale(tried.unit)
        commands = tried.commands or batch
        match error:
            case StampsRefused():
                raise error
            case Conflict():
                raise _Lost(commands) from error
            case StoreFull() if self.give_up_reserve():
                return batch  # some of it may be recorded without the reserve
            case StoreUnreachable():  # nothing was recorded, and the store has not failed
                wake([(waiting, error) for waiting in batch])
                return []
            case StoreFailed():
                self._failure.note(error)
                wake([(waiting, error) for waiting in batch])
                return []
            case _:
                log.error(
                    "a batch of %d commands could not be stored", len(commands), exc_info=error
                )
                if len(commands) == 1:
                    wake([(commands[0], error)])
                else:
                    self._halve(commands, repeats)
        return batch[len(commands) :]

    def _append(self, tried: _Tried) -> int:
        began = time.perf_counter()
        stored = tried.unit.batch(self._committed.clock.read())
        with self._progress.in_store():
            position = self._store.append(stored)
        if stored.stamps is not None:
            self._committed.clock.note(stored.stamps.newest)
        self.meter.commit_seconds.observe(time.perf_counter() - began)
        self.meter.batch_commands.observe(len(tried.accepted))
        return position

    def _count(self, tried: _Tried) -> None:
        commands = self.meter.commands
        for waiting in tried.accepted:
            commands.labels(type(waiting.command).__name__, "recorded").inc()
        for waiting, error in tried.refused:
            commands.labels(type(waiting.command).__name__, type(error).__name__).inc()

    def _repeat(self, batch: list[WaitingCommand], repeats: int) -> None:
        """Repeat it whole, as most conflicts are about one stream; halves would lose one by one."""
        if repeats <= LOST_LIMIT + 1:
            self._record_all(batch, repeats)
        elif len(batch) > 1:
            self._halve(batch, repeats)
        elif repeats <= CONFLICT_LIMIT:
            self._record_all(batch, repeats)
        else:
            wake([(batch[0], ConcurrentChange())])

    def _halve(self, batch: list[WaitingCommand], repeats: int) -> None:
        middle = (len(batch) + 1) // 2
        self._record_all(batch[:middle], repeats)
        self._record_all(batch[middle:], repeats)

    def _record_all(self, batch: list[WaitingCommand], repeats: int) -> None:
        left = batch
        while left:
            left = self.record(left, repeats)

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
