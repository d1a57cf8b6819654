"""Batches of commands: decided one after the other, and committed in one transaction.

A refused command affects no other. Before each batch, what other processes have changed is dropped
from the cache. If another process commits first, what may be stale is read again and the batch
repeated in halves, so that a conflict of one command costs no other. A batch whose stamps the store
refuses is repeated with the time of the store.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from ledger.domain.errors import (
    ConcurrentChange,
    NoStoreTime,
    StoreFailed,
    StoreFull,
    StoreUnreachable,
)
from ledger.store.metrics import Meter
from ledger.store.patience import PAUSE_S, STAMP_S
from ledger.store.seam import Conflict, Projection, StampsRefused, Store
from ledger.store.state_cache import UnitOfWork
from ledger.store.writer.committed import Committed
from ledger.store.writer.deciding import Decider
from ledger.store.writer.failure import Failure
from ledger.store.writer.waiting import WaitingCommand, wake

LOST_LIMIT = 2
"""Conflicts that a command may lose before other processes must wait for it."""
CONFLICT_LIMIT = 8
"""Times a single command is repeated before it is refused as a `ConcurrentChange`."""

log = logging.getLogger(__name__)


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
        elapsed_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._projection = projection
        self._decider = decider
        self._committed = committed
        self._failure = failure
        self._elapsed_s = elapsed_s
        self._refused_since: float | None = None
        """Since when the store has refused the stamps of all that was to be recorded."""
        self.meter = Meter()

    def record(self, batch: list[WaitingCommand], repeats: int = 0) -> None:
        """Decide and commit a batch, and wake its callers."""
        if self._failure.error is not None:
            wake([(waiting, self._failure.error) for waiting in batch])
            return
        while True:
            try:
                self._record_stamped(batch, repeats)
            except StampsRefused:
                if not self._may_stamp_again():
                    wake([(waiting, NoStoreTime()) for waiting in batch])
                    return
            else:
                return

    def paused(self) -> AbstractContextManager[None]:
        """Keep other processes from appending meanwhile."""
        return nullcontext() if self._store.others is None else self._store.others.paused()

    def give_up_reserve(self) -> bool:
        """Make room on a full disk; return whether there is some now."""
        try:
            return self._store.give_up_reserve()
        except StoreFailed as failure:
            self._failure.note(failure)
            return False

    def _record_stamped(self, batch: list[WaitingCommand], repeats: int) -> None:
        """Do the same, or raise `StampsRefused`; the callers still wait then."""
        cache = self._committed.cache
        unit = UnitOfWork(cache, self._projection)
        outcomes: list[tuple[WaitingCommand, Exception | int]] = []
        accepted: list[WaitingCommand] = []
        try:
            self._committed.catch_up()
            self._committed.clock.begin()
            disk = self._store.disk_state()
            for waiting in batch:
                if not waiting.turn.begin():
                    continue
                error = self._decider.decide(waiting, unit, disk)
                if error is None:
                    accepted.append(waiting)
                else:
                    outcomes.append((waiting, error))
            position = self._append(unit, len(accepted)) if accepted else self._committed.position
            self._refused_since = None
        except Conflict:
            cache.drop_stale(unit)
            self._repeat(batch, repeats + 1)
            return
        except StampsRefused:
            cache.drop_stale(unit)
            raise
        except StoreFull as error:
            cache.drop_stale(unit)
            self._make_room(batch, repeats, error)
            return
        except StoreUnreachable as error:  # nothing was recorded, and the store has not failed
            cache.drop_stale(unit)
            wake([(waiting, error) for waiting in batch])
            return
        except StoreFailed as error:
            self._failure.note(error)
            wake([(waiting, error) for waiting in batch])
            return
        except Exception as error:
            log.exception("a batch of %d commands could not be stored", len(batch))
            cache.drop_stale(unit)
            if len(batch) == 1:
                wake([(batch[0], error)])
            else:
                self._repeat(batch, repeats)
            return
        self._committed.remember(unit, position)
        self._count(outcomes, accepted)
        wake(outcomes + [(waiting, position) for waiting in accepted])
        self._committed.tell(unit, position)

    def _append(self, unit: UnitOfWork, commands: int) -> int:
        began = time.perf_counter()
        stored = unit.batch()
        position = self._store.append(stored)
        if stored.stamps is not None:
            self._committed.clock.note(stored.stamps.newest)
        self.meter.commit_seconds.observe(time.perf_counter() - began)
        self.meter.batch_commands.observe(commands)
        return position

    def _count(
        self,
        refused: list[tuple[WaitingCommand, Exception | int]],
        accepted: list[WaitingCommand],
    ) -> None:
        commands = self.meter.commands
        for waiting in accepted:
            commands.labels(type(waiting.command).__name__, "recorded").inc()
        for waiting, error in refused:
            commands.labels(type(waiting.command).__name__, type(error).__name__).inc()

    def _make_room(self, batch: list[WaitingCommand], repeats: int, error: StoreFull) -> None:
        """Give up the reserve, and record what may be recorded without it."""
        if self.give_up_reserve():
            self.record(batch, repeats)
        else:
            wake([(waiting, error) for waiting in batch])

    def _repeat(self, batch: list[WaitingCommand], repeats: int) -> None:
        if len(batch) == 1 and repeats > CONFLICT_LIMIT:
            wake([(batch[0], ConcurrentChange())])
            return
        if len(batch) == 1 and repeats > LOST_LIMIT:
            self._repeat_alone(batch, repeats)
            return
        middle = (len(batch) + 1) // 2
        for part in (batch[:middle], batch[middle:]):
            if part:
                self.record(part, repeats)

    def _repeat_alone(self, batch: list[WaitingCommand], repeats: int) -> None:
        """Make other nodes wait: a command must not lose to them forever.

        They do not wait for the store's time: raise `StampsRefused`, to be repeated beside them.
        """
        try:
            with self.paused():
                self._record_stamped(batch, repeats)
        except StoreUnreachable as error:
            wake([(waiting, error) for waiting in batch])

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
