"""A ledger's tables, copied from SQLite into PostgreSQL, and compared there row by row.

The transaction that makes the tables of a copy marks it as unfinished; until the mark is taken
away, no store takes it for a ledger. A copy that was broken off goes on behind the last row up to
which it is as it should be. What follows there is copied anew, so it does not matter what has
become of the ledger meanwhile.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import zip_longest
from typing import Any, NamedTuple

from ledger.domain.errors import Expected
from ledger.store.errors import store_errors
from ledger.store.log import streamed
from ledger.store.postgres.connections import connect, postgres_reader
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.locks import alone
from ledger.store.postgres.tables import MOVING, create_tables
from ledger.store.seam import Cursor, Log, Row
from ledger.store.sqlite.store import SCHEMA, SCHEMA_VERSION, head

BATCH_ROWS = 2_000
"""Rows that are copied in one transaction; the largest have some kilobytes."""


class NotMoved(Expected):
    """The ledger is not in the database; where it was it is unchanged, and can be used."""


class KeptTable(NamedTuple):
    """A table as it is called here and there; its key is so many of its columns, the first."""

    here: str
    there: str
    columns: tuple[str, ...]
    key: int

    @property
    def order(self) -> str:
        """The columns of the key."""
        return ", ".join(self.columns[: self.key])

    def select(self, name: str) -> str:
        """The statement that reads all rows, in any order, of one of both."""
        return f"SELECT {', '.join(self.columns)} FROM {name}"  # noqa: S608 - from a schema


def kept_tables() -> list[KeptTable]:
    """All tables of a store that are rows and nothing more: all but the count of leaves."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " AND name <> 'leaf_count' ORDER BY name"
        ).fetchall()
        return [_kept_table(connection, name) for (name,) in names]


def _kept_table(connection: sqlite3.Connection, name: str) -> KeptTable:
    columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
    keys = [place for *_, place in columns if place]
    assert keys == [place for *_, place in columns[: len(keys)]], f"the key of {name} comes first"
    named = tuple(column for _, column, *_ in columns)
    return KeptTable(name, name, named, len(keys) or len(named))


class Head(NamedTuple):
    """What the next event rests on: the highest position ever given, and how many leaves."""

    position: int
    leaves: int


def head_here(cursor: Cursor) -> Head:
    """The head of a ledger in SQLite. Raises `NotMoved` if its events lie behind it."""
    found = Head(*head(cursor))
    cursor.execute("SELECT max(position), max(leaf_index) + 1 FROM stored_events")
    newest = cursor.fetchone()
    if any(end is not None and end > said for end, said in zip(newest, found, strict=True)):
        raise NotMoved(f"the newest event is behind the ledger's end: {newest}, and {tuple(found)}")
    return found


def require_schema(cursor: Cursor) -> None:
    """Raises `NotMoved` if the tables in SQLite are not of this program's schema."""
    cursor.execute("PRAGMA user_version")
    found = cursor.fetchone()[0]
    if found < SCHEMA_VERSION:
        raise NotMoved("the ledger was last used by an earlier version: start the service once")
    if found > SCHEMA_VERSION:
        raise NotMoved(f"the ledger has schema {found}; this is schema {SCHEMA_VERSION}")


def count_rows(cursor: Cursor, table: KeptTable) -> int:
    """How many rows there are here."""
    cursor.execute(f"SELECT count(*) FROM {table.here}")  # noqa: S608 - from a schema
    return int(cursor.fetchone()[0])


class Copy:
    """The copy of a ledger in a database that nobody else has meanwhile; made by `open_copy`."""

    def __init__(self, url: str, connection: PgConnection) -> None:
        self._url = url
        self._connection = connection

    def prepare(self, move: str, create: Callable[[Cursor], None]) -> None:
        """Makes the tables, marked as of this move; `create` makes those of the read models.

        Raises `NotMoved` if the database is not empty, and what it holds is not of this move.
        """
        with self._connection.raw.transaction():
            cursor = self._connection.cursor()
            cursor.execute(
                "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p')"
                " AND relnamespace = current_schema()::regnamespace"
            )
            tables = {name for (name,) in cursor.fetchall()}
            if not tables:
                cursor.execute(f"CREATE TABLE {MOVING} (move text NOT NULL)")
                cursor.execute(f"INSERT INTO {MOVING} VALUES (?)", (move,))  # noqa: S608 - a constant
            elif MOVING not in tables:
                what = "a ledger already" if "stored_events" in tables else "something"
                raise NotMoved(f"the database holds {what}; it must be empty")
            else:
                cursor.execute(f"SELECT move FROM {MOVING}")  # noqa: S608 - a constant
                if cursor.fetchone() != (move,):
                    raise NotMoved("the database holds the unfinished copy of another ledger")
            create_tables(cursor)
            create(cursor)

    def bring(self, here: Cursor, table: KeptTable) -> Iterator[int]:
        """Makes the copy of a table equal; yields how many rows more are, batch by batch."""
        there = self._connection.cursor()
        after: Row = ()
        equal = True
        while rows := _some(here, table, table.here, after):
            if equal and _some(there, table, table.there, after) != rows:
                self._cut(table, after)
                equal = False
            if not equal:
                self._add(table, rows)
            after = rows[-1][: table.key]
            yield len(rows)
        if equal:
            self._cut(table, after)

    def set_head(self, head: Head) -> None:
        """Where the next event goes."""
        self._connection.execute("UPDATE leaf_count SET position = ?, leaves = ?", head)

    def head(self) -> Head:
        """Where the next event would go."""
        row = self._connection.execute("SELECT position, leaves FROM leaf_count").fetchone()
        return Head._make(row)

    def log(self) -> AbstractContextManager[Log]:
        """What was copied, as of now."""
        return postgres_reader(self._url).log()

    def finish(self) -> None:
        """From now on it is a ledger. May be repeated."""
        # The planner knows nothing of so many rows until autovacuum comes by.
        self._connection.execute("ANALYZE")
        self._connection.execute(f"DROP TABLE IF EXISTS {MOVING}")

    def _cut(self, table: KeptTable, after: Row) -> None:
        self._connection.execute(
            f"DELETE FROM {table.there}{_behind(table, after)}",  # noqa: S608 - from a schema
            after,
        )

    def _add(self, table: KeptTable, rows: list[Row]) -> None:
        columns = ", ".join(table.columns)
        with (
            self._connection.raw.cursor() as cursor,
            cursor.copy(f"COPY {table.there} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)


@contextmanager
def open_copy(url: str) -> Iterator[Copy]:
    """A database to copy into, for as long as nobody else has it.

    Raises `StoreUnreachable` if somebody has; whatever fails in the block is `StoreFailed`.
    """
    connection = connect(url)
    try:
        with store_errors(), alone(connection):
            yield Copy(url, connection)
    finally:
        connection.close()


def require_equal(here: Cursor, there: Cursor, table: KeptTable) -> Iterator[int]:
    """Compares all rows of a table and its copy; yields now and then how many more are equal.

    Raises `NotMoved` for the first that is not.
    """
    equal = 0
    rows = (
        streamed(cursor, f"{table.select(name)} ORDER BY {table.order}")
        for cursor, name in ((here, table.here), (there, table.there))
    )
    for ours, theirs in zip_longest(*rows):
        if ours != theirs:
            at = (ours or theirs)[: table.key]
            raise NotMoved(f"the copy is not the same in {table.there}, at {at}; try again")
        equal += 1
        if equal == BATCH_ROWS:
            yield equal
            equal = 0
    yield equal


def _some(cursor: Cursor, table: KeptTable, name: str, after: Row) -> list[Any]:
    """The next rows in the order of the key."""
    cursor.execute(
        f"{table.select(name)}{_behind(table, after)} ORDER BY {table.order} LIMIT {BATCH_ROWS}",
        after,
    )
    return cursor.fetchall()


def _behind(table: KeptTable, after: Row) -> str:
    if not after:
        return ""
    return f" WHERE ({table.order}) > ({', '.join('?' * len(after))})"
