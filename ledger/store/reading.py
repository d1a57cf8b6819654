"""Connections that only read, whatever database they are to."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psycopg

from ledger.errors import StoreFailed, StoreUnreachable
from ledger.store.pg_connecting import LOST, connect
from ledger.store.pg_cursor import PgConnection, PgCursor
from ledger.store.seam import Cursor, Scalar
from ledger.store.sqlite import READ_ROWS, open_connection


class Connection(Protocol):
    """What sqlite3's connections and ours to PostgreSQL have in common."""

    def cursor(self) -> Cursor: ...

    def execute(self, sql: str, parameters: Sequence[Scalar] = ..., /) -> Any: ...

    def close(self) -> None: ...


class Reading(NamedTuple):
    """How to read from a database; what goes wrong is `StoreFailed`."""

    connect: Callable[[], Connection]
    begin: str
    error: type[Exception]
    passing: tuple[type[Exception], ...]
    """Those of the errors after which another connection may do."""
    lost: Callable[[Connection], bool]
    """Whether nothing can be read over the connection any more."""

    def begin_on(self, connection: Connection) -> Connection:
        """A connection whose snapshot has begun: this one or, if it is lost, another."""
        try:
            connection.execute(self.begin)
        except self.passing:
            connection.close()
            connection = self.connect()
            with self._told():
                connection.execute(self.begin)
        except self.error as error:
            raise StoreFailed(f"the store cannot be read: {error}") from error
        return connection

    @contextmanager
    def snapshot(self, connection: Connection) -> Iterator[Connection]:
        """All that is read is as of one moment, which has begun."""
        with self._told():
            try:
                yield connection
            finally:
                if not self.lost(connection):
                    connection.execute("ROLLBACK")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self.error as error:
            failure = StoreUnreachable if isinstance(error, self.passing) else StoreFailed
            raise failure(f"the store cannot be read: {error}") from error


def streamed(cursor: Cursor, sql: str) -> Iterator[Any]:
    """All rows that a statement gives, of which only some are in memory at a time."""
    if isinstance(cursor, PgCursor):
        yield from cursor.streamed(sql, READ_ROWS)
        return
    cursor.execute(sql)
    while rows := cursor.fetchmany(READ_ROWS):
        yield from rows


def sqlite_reading(file: Path) -> Reading:
    """From an SQLite file."""
    return Reading(lambda: open_connection(file, writing=False), "BEGIN", sqlite3.Error, (), _never)


def postgres_reading(url: str) -> Reading:
    """From a PostgreSQL database."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return Reading(lambda: connect(url), begin, psycopg.Error, LOST, _is_lost)


def _never(_: Connection) -> bool:
    """A file is there or is not."""
    return False


def _is_lost(connection: Connection) -> bool:
    return isinstance(connection, PgConnection) and connection.lost
