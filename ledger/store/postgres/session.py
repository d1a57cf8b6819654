"""The session in which a store writes to PostgreSQL.

- A connection that is lost, or leads to a server that is no primary any more, is made anew. What a
  lost session still does is over as soon as the next one has its lock. If there is no server for a
  minute, that is `StoreFailed`.
- What is found then may be on this server only, if the wait for its standby was broken off. So it
  is confirmed by another commit, which waits for all that was before it.
- A process that is paused holds its locks. So the server ends its session if it does not go on; it
  then does anew what was under way. That a process or its machine is gone, the server sees by
  keepalives.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from ledger.domain.errors import StoreFailed, StoreUnreachable
from ledger.store.errors import LOST, store_errors
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres.connections import Patience, connect
from ledger.store.postgres.cursor import PgConnection

T = TypeVar("T")

TRANSACTION_S = 10
"""How long the server lets one last: a process that is paused holds its locks, and all wait."""
_CONFIRM = "UPDATE leaf_count SET position = position RETURNING position"


class WritingSession:
    """One session at a time, for one thread; while there is one, nobody moves a ledger in."""

    def __init__(self, url: str, on_reconnect: Callable[[], None]) -> None:
        """`on_reconnect` is called when another server may be written to from now on.

        Raises `StoreUnreachable`, and `StoreFailed`.
        """
        self._url = url
        self._on_reconnect = on_reconnect
        self._lock = secrets.randbits(62)
        self._unconfirmed = True
        self.position = 0
        """Up to here is durable, and may have been told."""
        self.connection = self._connected()

    def again(self, work: Callable[[], T]) -> T:
        """Does what may be done twice; over another connection, if this one is lost."""
        patience = Patience()
        while True:
            try:
                return work()
            except LOST as error:
                patience.spend(error)
                self.reconnect()
            except psycopg.Error as error:
                raise StoreFailed(f"PostgreSQL: {error}") from error

    def reconnect(self) -> None:
        """Makes the connection anew, as long as that takes; what is found there is confirmed.

        Raises `StoreFailed` in the end.
        """
        patience = Patience()
        while True:
            self.connection.close()
            try:
                self.connection = self._connected()
                self._on_reconnect()
                self._unconfirmed = True
                self.confirm()
            except (StoreUnreachable, *LOST) as error:
                patience.spend(error)
            else:
                return

    def confirm(self) -> None:
        """Makes what is committed durable everywhere, if it may not be: by a commit that waits."""
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
        if not self.connection.lost:  # the server takes a moment to notice the end
            with suppress(psycopg.Error):
                self.connection.execute("SELECT pg_advisory_unlock_all()")
        self.connection.close()

    def _connected(self) -> PgConnection:
        connection = connect(self._url)
        connection.raw.prepare_threshold = None  # but for batches
        connection.raw.add_notice_handler(self._notice)
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
        taken = connection.execute("SELECT pg_try_advisory_lock(?)", (self._lock,))
        if not taken.fetchone()[0]:
            raise StoreUnreachable("the session before this one has not ended")

    def _notice(self, said: psycopg.errors.Diagnostic) -> None:
        """Takes note of a commit that did not wait for its standby, in whatever language."""
        if said.source_function == "SyncRepWaitForLSN":
            self._unconfirmed = True
