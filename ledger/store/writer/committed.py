"""What a writer knows to be committed: its cache, its position, and its listeners."""

import logging
from collections.abc import Callable
from datetime import datetime

from ledger.store.clock import StoreClock
from ledger.store.seam import Anew, Commit, Cursor, FirstListener, Listener, Projection, Store
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
        self._projection = projection
        self._generation = self._told_of = 0
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
        self.first_listeners: list[FirstListener] = []
        """Those that are told of a commit before anybody else, its callers included."""

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

    def remember(self, unit: UnitOfWork, position: int) -> Commit | None:
        """Tell the first listeners, and cache what was committed; return what to tell the others.

        If it cannot be cached, the commit stands, and is read again.
        """
        commit = self._commit_of(unit, position)
        if commit is not None:
            self._tell_first(commit)
        # What has this position shows the commit.
        self.commits += 1
        self.position = position
        for actor, size in unit.sizes().items():
            self.bytes.add(actor, size)
        try:
            self.cache.remember(unit)
        except Exception:
            log.exception("the writer clears its cache")
            self.cache.clear()
        return commit

    def _commit_of(self, unit: UnitOfWork, position: int) -> Commit | None:
        if not unit.events or not (self.listeners or self.first_listeners):
            return None
        return Commit(
            position,
            [(stream, recorded) for stream, _, recorded in unit.events],
            unit.states(),
            unit.related(),
            unit.tasks,
        )

    def look_at_rows(self, cursor: Cursor) -> None:
        """Tell the first listeners if exclusive work that is not committed yet made all rows anew.

        They are told again once it is known whether it was committed.
        """
        if self.first_listeners:
            cursor.execute(self._projection.LIVE)
            (self._generation,) = cursor.fetchone()
            if self._generation != self._told_of:
                self._tell_first("rows change")

    def note_work(self) -> None:
        """Note that exclusive work is over, before anybody is told of it."""
        self.commits += 1
        if self._generation != self._told_of:
            self._told_of = self._generation
            self._tell_first("rows have changed")

    def _tell_first(self, news: Commit | Anew) -> None:
        for listener in self.first_listeners:
            listener(news)

    def tell(self, commit: Commit | None) -> None:
        """Tell the listeners of events that were committed."""
        if commit is None:
            return
        for listener in self.listeners:
            try:
                listener(commit)
            except Exception:
                log.exception("a listener failed; its events are committed")
