"""Connections that only read, whatever database they are to."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psycopg

from ledger.errors import StoreFailed
from ledger.store.postgres import connect
from ledger.store.seam import Cursor, Scalar
from ledger.store.sqlite import open_connection


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

    @contextmanager
    def snapshot(self, connection: Connection) -> Iterator[Connection]:
        """All that is read in it is as of one moment."""
        try:
            connection.execute(self.begin)
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")
        except self.error as error:
            raise StoreFailed(f"the store cannot be read: {error}") from error


def sqlite_reading(file: Path) -> Reading:
    """From an SQLite file."""
    return Reading(lambda: open_connection(file, writing=False), "BEGIN", sqlite3.Error)


def postgres_reading(url: str) -> Reading:
    """From a PostgreSQL database."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return Reading(lambda: connect(url), begin, psycopg.Error)
