"""Connections to a PostgreSQL database, and what is done when they are lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from ledger.errors import StoreFailed, StoreUnreachable
from ledger.store.pg_address import BadAddress, conninfo
from ledger.store.pg_cursor import PgConnection, PgCursor

RECONNECT_S = 60
PAUSE_S = 0.1
SHORTEST_PAUSE_S = 0.005
LOST = (
    psycopg.OperationalError,
    pg.ReadOnlySqlTransaction,
    pg.TransactionTimeout,
    pg.IdleInTransactionSessionTimeout,
)
"""The server went away, is about to, or may not be written to: another may do, or it later; or it
has ended the session, because it had waited for this process for too long."""


def connect(url: str) -> PgConnection:
    """A connection in autocommit mode to the primary. Raises `StoreUnreachable`."""
    try:
        connection = psycopg.connect(conninfo(url), autocommit=True)
    except (psycopg.Error, BadAddress) as error:
        raise StoreUnreachable(f"cannot reach PostgreSQL: {error}") from error
    connection.adapters.register_loader("numeric", _Sum)
    return PgConnection(connection)


@contextmanager
def connected(url: str) -> Iterator[PgConnection]:
    """A connection for something short. Raises `StoreUnreachable`, and `StoreFailed` in it."""
    connection = connect(url)
    try:
        with store_errors():
            yield connection
    finally:
        connection.close()


class _Sum(Loader):
    """A sum of integers is `numeric`, and a number without a fraction."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


class Patience:
    """With what is lost again and again: for a minute since it was lost first."""

    def __init__(self) -> None:
        self._until = 0.0
        self._pause_s = SHORTEST_PAUSE_S

    def spend(self, error: Exception) -> None:
        """Waits a little, but not the first time. Raises `StoreFailed` when it is over."""
        if isinstance(error, pg.TransactionTimeout):
            self._until = 0.0  # the server is there: it waits for others, or their standby
            return
        now = time.monotonic()
        if not self._until:
            self._until = now + RECONNECT_S
        elif now < self._until:
            time.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, PAUSE_S)
        else:
            raise StoreFailed(f"PostgreSQL: {error}") from error


@contextmanager
def transaction(connection: PgConnection) -> Iterator[PgCursor]:
    with connection.raw.transaction():
        yield connection.cursor()


@contextmanager
def snapshot(connection: PgConnection) -> Iterator[PgCursor]:
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield connection.cursor()
    finally:
        if not connection.lost:
            connection.execute("ROLLBACK")


@contextmanager
def store_errors() -> Iterator[None]:
    """What the connection cannot do may be tried again; the rest is final."""
    try:
        yield
    except LOST as error:
        raise StoreUnreachable(f"PostgreSQL: {error}") from error
    except psycopg.Error as error:
        raise StoreFailed(f"PostgreSQL: {error}") from error
