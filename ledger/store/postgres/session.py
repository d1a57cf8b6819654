"""The session in which a store writes to PostgreSQL.

- A connection that is lost, or leads to a server that is no longer the primary, is replaced. Once
  the next session has the lock, nothing of the lost one is still running. However long there is no
  server, it is waited for: one whose disk is full is down until there is room.
- Its mark tells whether an unanswered commit was recorded (`postgres/marks`), for every
  transaction of the session. If the process stops before that is found out, it is `CommitPending`.
- What is found then may be on this server only, if the wait for its standby was interrupted. So it
  is confirmed by another commit, which waits for everything before it.
- A paused process holds its locks. So the server ends its session after a while, and the process
  repeats what it was doing. The server notices by keepalives that a process or its machine is gone.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg

from ledger.domain.errors.store import CommitFailed, CommitPending, StoreFailed, StoreUnreachable
from ledger.store.errors import LOST, store_errors
from ledger.store.patience import ANSWER_S, OutageLog
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres.connections import PAUSE_S, SHORTEST_PAUSE_S, Patience, connect
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.marks import Marks

T = TypeVar("T")

TRANSACTION_S = 10
"""How long a transaction may last: a paused process holds its locks while all others wait."""
_CONFIRM = "UPDATE leaf_count SET position = position RETURNING position"

log = logging.getLogger(__name__)


class WritingSession:
    """One session at a time, for one thread; it keeps a ledger from being moved in."""

    def __init__(self, url: str, on_reconnect: Callable[[], None]) -> None:
        """`on_reconnect` is called when the server may have changed.

        Raises `StoreUnreachable`, and `StoreFailed`.
        """
        self._url = url
        self._on_reconnect = on_reconnect
        self.marks = Marks()
        self._unconfirmed = True
        self._away_since: float | None = None
        self._stopping = threading.Event()
        self._outage = OutageLog(log, "PostgreSQL is away", expected=(StoreFailed, psycopg.Error))
        self.position = 0
        """Up to here events are durable, and may have been acknowledged."""
        self.connection = self._connect()

    def repeat(self, work: Callable[[], T]) -> T:
        """Do work that may be done twice; repeat it over a new connection if this one is lost.

        Raises `StoreUnreachable` if the process stops before, or if the server goes on refusing
        the work over connections that are not lost.
        """
        patience = Patience()
        while True:
            try:
                return work()
            except LOST as error:
                if not self.connection.lost:
                    patience.spend(error)
                self.reconnect()
            except psycopg.Error as error:
                raise StoreFailed(f"PostgreSQL: {error}") from error

    def reconnect(self) -> None:
        """Replace the connection, however long that takes, and confirm what is found there.

        Raises `StoreUnreachable` if the process stops before.
        """
        began = time.monotonic()
        pause_s = SHORTEST_PAUSE_S
        while True:
            self.connection.close()
            try:
                self.connection = self._connect()
                self._on_reconnect()
                self._unconfirmed = True
                self.confirm()
            except (StoreUnreachable, *LOST) as error:
                self._away_since = began
                self._outage.failed(error)
                if self._stopping.wait(pause_s):
                    raise StoreUnreachable(str(error)) from error
                pause_s = min(2 * pause_s, PAUSE_S)
            else:
                self._away_since = None
                self._outage.works()
                return

    @property
    def away(self) -> bool:
        """Whether the server has been away for longer than a request waits. In any thread."""
        since = self._away_since
        return since is not None and time.monotonic() - since > ANSWER_S

    def stop_waiting(self) -> None:
        """Wait no longer for a server that is away. In any thread."""
        self._stopping.set()

    def settle(self) -> None:
        """Note that the transaction was committed, once that is durable everywhere.

        Raises `LOST` if the connection is lost meanwhile, and `CommitFailed`.
        """
        with self._in_doubt():
            self.confirm()
        self.marks.note_commit()

    def find_out(self) -> bool:
        """Return whether the transaction that lost its connection was committed.

        If so, it is not after `position`. Raises `CommitPending` if the process stops before that
        is found out, and `CommitFailed` if the server does not say.
        """
        with self._in_doubt():
            self.reconnect()
            committed = self.repeat(lambda: self.marks.find_out(self.connection))
        if committed:
            self.marks.note_commit()
        return committed

    def confirm(self) -> None:
        """Make commits durable everywhere, if they may not be, by a commit that waits."""
        while self._unconfirmed:
            self._unconfirmed = False
            position = self.connection.execute(_CONFIRM).fetchone()[0]
            if position < self.position:
                self.connection.close()
                raise StoreFailed(
                    f"events up to {self.position} were acknowledged, and only those up to"
                    f" {position} are there: see `job-ledger adopt`"
                )
            self.position = position

    def close(self) -> None:
        if not self.connection.lost:  # the server takes a moment to notice that it ended
            with suppress(psycopg.Error):
                self.connection.execute("SELECT pg_advisory_unlock_all()")
        self.connection.close()

    def _connect(self) -> PgConnection:
        connection = connect(self._url)
        connection.raw.prepare_threshold = None  # except in batches
        connection.raw.add_notice_handler(self._note_unconfirmed)
        try:
            with store_errors():
                connection.execute(f"SET transaction_timeout = '{TRANSACTION_S}s'")
                self._take_locks(connection)
        except StoreFailed:
            connection.close()
            raise
        return connection

    def _take_locks(self, connection: PgConnection) -> None:
        having = connection.execute("SELECT pg_try_advisory_lock_shared(?)", (pg_locks.HAVING,))
        if not having.fetchone()[0]:
            raise StoreUnreachable("a ledger is being moved into this database")
        taken = connection.execute("SELECT pg_try_advisory_lock(?)", (self.marks.writer,))
        if not taken.fetchone()[0]:
            raise StoreUnreachable("the session before this one has not ended")

    def _note_unconfirmed(self, notice: psycopg.errors.Diagnostic) -> None:
        """Note a commit that did not wait for its standby, whatever the notice's language."""
        if notice.source_function == "SyncRepWaitForLSN":
            self._unconfirmed = True

    @contextmanager
    def _in_doubt(self) -> Iterator[None]:
        """Raise a failure of the store as that of a commit, which may have been made before it.

        The process must stop: the next transaction would get the same mark as the commit, and one
        could be taken for the other.
        """
        try:
            yield
        except LOST:
            raise
        except (StoreFailed, psycopg.Error) as error:
            if self._stopping.is_set() and isinstance(error, StoreUnreachable):
                raise CommitPending from error
            raise CommitFailed(str(error)) from error
