"""Connections to a PostgreSQL database, and what is done when they are lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from ledger.domain.errors import StoreFailed, StoreUnreachable
from ledger.store.errors import store_errors
from ledger.store.postgres.address import BadAddress, conninfo
from ledger.store.postgres.cursor import PgConnection, PgCursor
from ledger.store.readers import Reader

RECONNECT_S = 60
PAUSE_S = 0.1
SHORTEST_PAUSE_S = 0.005


def connect(url: str) -> PgConnection:
    """A connection in autocommit mode to the primary. Raises `StoreUnreachable`."""
    try:
        connection = psycopg.connect(conninfo(url), autocommit=True)
    except (psycopg.Error, BadAddress) as error:
        raise StoreUnreachable(f"cannot reach PostgreSQL: {error}") from error
    connection.adapters.register_loader("numeric", _Sum)
    return PgConnection(connection)


def postgres_reader(url: str) -> Reader:
    """Reads from this database."""
    return Reader(lambda: connect(url), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


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
