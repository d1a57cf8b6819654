"""Connections to a PostgreSQL database, and what happens when they are lost."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from psycopg import errors as pg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from ledger.domain.errors.store import StoreUnfit, StoreUnreachable
from ledger.store.errors import store_errors
from ledger.store.postgres.address import BadAddress, conninfo
from ledger.store.postgres.cursor import PgConnection, PgCursor
from ledger.store.readers import Reader
from ledger.store.seam import Log

REPEAT_S = 60
PAUSE_S = 0.1
SHORTEST_PAUSE_S = 0.005
VERSION_LEAST = 17_00_00
"""The first version in which the time of a transaction can be limited."""
_MAJOR = 1_00_00


def connect(url: str) -> PgConnection:
    """Connect to the primary, in autocommit mode. Raises `StoreUnreachable` and `StoreUnfit`."""
    try:
        connection = psycopg.connect(conninfo(url), autocommit=True)
    except (psycopg.Error, BadAddress) as error:
        raise StoreUnreachable(f"cannot reach PostgreSQL: {error}") from error
    _check_version(connection)
    connection.adapters.register_loader("numeric", _Sum)
    return PgConnection(connection)


def _check_version(connection: psycopg.Connection) -> None:
    """Close the connection and raise `StoreUnfit` if its server is too old for a ledger."""
    version = connection.info.server_version
    if version < VERSION_LEAST:
        connection.close()
        least, found = VERSION_LEAST // _MAJOR, version // _MAJOR
        raise StoreUnfit(f"a ledger needs PostgreSQL {least} or later, and this is {found}")


def postgres_reader(url: str) -> Reader:
    return Reader(lambda: connect(url), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


@contextmanager
def postgres_log(url: str) -> Iterator[Log]:
    """Read the record as of one moment, and close the connection."""
    with closing(postgres_reader(url)) as reader, reader.log() as log:
        yield log


@contextmanager
def connected(url: str) -> Iterator[PgConnection]:
    """Connect for a short time. Raises `StoreUnreachable`, or `StoreFailed` from the block."""
    connection = connect(url)
    try:
        with store_errors():
            yield connection
    finally:
        connection.close()


class _Sum(Loader):
    """Loads the sum of integers, which is `numeric`, as an integer."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


class Patience:
    """How long work is repeated on a server that keeps losing the connection, or refusing.

    It is a minute from the first time. Then the work is given up, and others get their turn.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._pause_s = SHORTEST_PAUSE_S

    def spend(self, error: Exception) -> None:
        """Wait a little, but not the first time. Raise `StoreUnreachable` when it is over."""
        if isinstance(error, pg.TransactionTimeout):
            self._until = 0.0  # the server is there, but waits for others or for a standby
            return
        now = time.monotonic()
        if not self._until:
            self._until = now + REPEAT_S
        elif now < self._until:
            time.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, PAUSE_S)
        else:
            raise StoreUnreachable(f"PostgreSQL: {error}") from error


@contextmanager
def transaction(connection: PgConnection) -> Iterator[PgCursor]:
    with connection.raw.transaction():
        yield connection.cursor()
