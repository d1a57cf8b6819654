"""What a writer knows to be committed: its cache, its position, and its listeners."""

import logging
from collections.abc import Callable
from datetime import datetime

from ledger.store.clock import StoreClock
from ledger.store.seam import Commit, Listener, Projection, Store
from ledger.store.state_cache import StateCache
from ledger.store.tables.stamps import newest_stamp
from ledger.store.unit_of_work import UnitOfWork
from ledger.store.writer.daily_bytes import DailyBytes
from ledger.store.writer.progress import Progress

log = logging.getLogger(__name__)


class Committed:
    """What is committed. For the writer's thread, except `commits` and `position`."""

    def __init__(
        self,
        store: Store,
        projection: Projection,
        now: Callable[[], datetime],
        progress: Progress,
        elapsed_s: Callable[[], float],
    ) -> None:
        """`now` is the machine's clock."""
        self._others = store.others
        self._progress = progress
        self.cache = StateCache(store, projection)
        self.bytes = DailyBytes(elapsed_s)
        self.commits = 0
        """How often this process has committed."""
        with store.log() as stored:
            self.position = stored.last_position()
            """The newest event that this process has committed, or found at its start."""
            self.clock = StoreClock(now, store.others, newest_stamp(stored.cursor()))
        self.listeners: list[Listener] = []

    def catch_up(self) -> bool:
        """Forget what other processes have changed; return whether there was anything.

        Even a refusal rests on the newest state.
        """
        if self._others is None:
            return False
        with self._progress.in_store():
            newest, news = self._others.news()
        self.clock.note(newest)
        if news is None:
            self.cache.clear()
        elif news:
            self.cache.drop_changed(news)
            self.position = max(self.position, news[-1].position)
        return news is None or bool(news)

    def remember(self, unit: UnitOfWork, position: int) -> None:
        """Cache what was committed. If that fails, the commit stands, and is read again."""
        self.commits += 1
        self.position = position
        for actor, size in unit.sizes().items():
            self.bytes.add(actor, size)
        try:
            self.cache.remember(unit)
        except Exception:
            log.exception("the writer clears its cache")
            self.cache.clear()

    def note_work(self) -> None:
        """Note that work other than commands was committed."""
        self.commits += 1

    def tell(self, unit: UnitOfWork, position: int) -> None:
        """Tell the listeners of events that were committed."""
        if not self.listeners or not unit.events:
            return
        commit = Commit(
            position,
            [(stream, recorded) for stream, _, recorded in unit.events],
            unit.states(),
            unit.related(),
            unit.tasks,
        )
        for listener in self.listeners:
            try:
                listener(commit)
            except Exception:
                log.exception("a listener failed; its events are committed")
