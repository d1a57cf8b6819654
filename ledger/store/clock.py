"""The time of a ledger: the only one by which events are stamped and their ages are told.

For a ledger in SQLite it is the machine's, since one machine has the file; in PostgreSQL it is the
database's, which every process asks. It never goes back: while the store's clock is behind the
newest stamp, time stands still, and each stamp is a microsecond after the last.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from ledger.domain.clock_trust import NOTICED, offset_text
from ledger.store.postgres.cursor import PgCursor
from ledger.store.postgres.server_clock import server_time
from ledger.store.seam import Cursor, Others
from ledger.store.tables.stamps import newest_stamp

TICK = timedelta(microseconds=1)

log = logging.getLogger(__name__)


class TimeSource(Protocol):
    """A store's clock, the newest stamp, and the difference from the machine's clock."""

    @property
    def newest(self) -> datetime: ...

    def read(self) -> datetime:
        """Return what the store's clock shows, even if it went back."""

    def offset(self) -> timedelta:
        """Return by how much at least the machine's clock is ahead of the store's."""


class SeenClock(NamedTuple):
    """A `TimeSource` as it was at one moment, for a process that only reads."""

    time: datetime
    newest: datetime
    ahead: timedelta

    def read(self) -> datetime:
        return self.time

    def offset(self) -> timedelta:
        return self.ahead


def see_clock(cursor: Cursor, own: Callable[[], datetime]) -> SeenClock:
    """Return what the clock of this store shows; `own` is the machine's clock."""
    newest = newest_stamp(cursor)
    if not isinstance(cursor, PgCursor):
        return SeenClock(own(), newest, timedelta(0))
    time = server_time(cursor)
    return SeenClock(time, newest, own() - time)


class StoreClock:
    """The clock of one process, for any thread; stamps are for the writer's thread only."""

    def __init__(
        self, own: Callable[[], datetime], others: Others | None, newest: datetime
    ) -> None:
        """`own` is the machine's clock, and `newest` the newest stamp of the ledger's events."""
        self._own = own
        self._others = others
        self._stamp = self.newest = newest
        self._noting = threading.Lock()
        self._offset_logged = False

    def now(self) -> datetime:
        return max(self.read(), self.newest + TICK)

    def read(self) -> datetime:
        return self._own() if self._others is None else self._others.clock()

    def offset(self) -> timedelta:
        return timedelta(0) if self._others is None else self._others.offset(self._own)

    def ask(self) -> None:
        """Ask the store for the time; log once that the machine's clock is off. May block.

        Raise `StoreFailed`.
        """
        if self._others is None:
            return
        self.note(self._others.ask())
        offset = self.offset()
        is_off = abs(offset) >= NOTICED
        if is_off and not self._offset_logged:
            log.warning("%s; events are stamped by the database's", offset_text(offset))
        self._offset_logged = is_off

    def begin(self) -> None:
        """Begin a batch: stamps of what was not recorded may be given out again."""
        self._stamp = self.newest

    def stamp(self) -> datetime:
        """Return the time, later than all stamps before."""
        self._stamp = max(self.read(), self._stamp + TICK)
        return self._stamp

    def note(self, newest: datetime) -> None:
        """Note that there is an event with this stamp. In any thread."""
        with self._noting:  # or an older one could take the place of a newer one
            self.newest = max(self.newest, newest)
