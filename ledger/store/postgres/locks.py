"""Advisory locks of a PostgreSQL database, for what the nodes of a ledger do one at a time.

A lock belongs to a session and ends with it, in whatever way that ends.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import errors as pg

from ledger.domain.errors.store import StoreUnreachable
from ledger.store.postgres.cursor import PgConnection

HAVING = 0x6A6F62
"""Shared by all who use the ledger; exclusive for a move into the database. In letters: `job`."""
MAKING = HAVING + 1
"""Exclusive for creating or changing tables."""
APPENDING = HAVING + 2
"""Shared by all batches; exclusive while nothing may be appended."""
EXCLUSIVE = HAVING + 3
"""Exclusive for exclusive work."""
LOCK_WAIT = "10s"
"""The server takes a moment to notice that a process is gone."""


@contextmanager
def alone(connection: PgConnection) -> Iterator[None]:
    """Keep others from the ledger meanwhile. Raises `StoreUnreachable` if a process uses it."""
    connection.execute(f"SET lock_timeout = '{LOCK_WAIT}'")
    try:
        connection.execute("SELECT pg_advisory_lock(?)", (HAVING,))
    except pg.LockNotAvailable as error:
        raise StoreUnreachable("a process uses a ledger in this database") from error
    connection.execute("RESET lock_timeout")
    yield
    connection.execute("SELECT pg_advisory_unlock(?)", (HAVING,))


class PgLease:
    """A `ledger.store.lease.Lease` among all nodes."""

    def __init__(self, connect: Callable[[], PgConnection], name: str) -> None:
        self._connect = connect
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        self._lock = threading.Lock()
        self._connection: PgConnection | None = None

    def acquire(self) -> bool:
        with self._lock:
            if self._connection is not None:
                return False
            connection = self._connect()
            try:
                taken = connection.execute("SELECT pg_try_advisory_lock(?)", (self._key,))
                if taken.fetchone()[0]:
                    self._connection = connection
            except psycopg.Error as error:
                raise StoreUnreachable(f"PostgreSQL: {error}") from error
            finally:
                if self._connection is None:
                    connection.close()
            return self._connection is not None

    def release(self) -> None:
        assert self._connection is not None, "the lease is not held here"
        connection = self._connection
        with suppress(psycopg.Error):  # the server takes a moment to notice that a session ended
            connection.execute("SELECT pg_advisory_unlock(?)", (self._key,))
        connection.close()
        self._connection = None

    def locked(self) -> bool:
        return self._connection is not None

    def check(self) -> None:
        try:
            assert self._connection is not None, "the lease is not held here"
            self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise StoreUnreachable(f"another process may hold the lease by now: {error}") from error
