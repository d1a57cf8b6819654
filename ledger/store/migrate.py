"""The tables of a ledger, copied from SQLite into PostgreSQL and compared there row by row.

The transaction that creates the tables of a copy marks it as unfinished. No store opens it until
the mark is removed. A copy that was interrupted starts anew, so the ledger may change meanwhile.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import zip_longest
from typing import NamedTuple

from ledger.domain.errors import Expected
from ledger.domain.stamps import microseconds
from ledger.store.errors import store_errors
from ledger.store.log import streamed
from ledger.store.postgres.connections import connect, postgres_log
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.locks import alone
from ledger.store.postgres.tables import MOVING, create_tables
from ledger.store.schema import SCHEMA_VERSION, TABLES
from ledger.store.seam import Cursor, Log, Row
from ledger.store.sqlite.store import head
from ledger.store.tables.stamps import newest_stamp

BATCH_ROWS = 2_000
"""Rows that are copied in one transaction; the largest have some kilobytes."""


class NotMoved(Expected):
    """The ledger was not moved; it is unchanged where it was, and can be used."""


class CopiedTable(NamedTuple):
    """A table by its names in SQLite (here) and PostgreSQL (there).

    Its first `key` columns are its key.
    """

    here: str
    there: str
    columns: tuple[str, ...]
    key: int

    @property
    def order(self) -> str:
        return ", ".join(self.columns[: self.key])

    def select(self, name: str) -> str:
        """Return the statement that reads all rows of either table, in any order."""
        return f"SELECT {', '.join(self.columns)} FROM {name}"  # noqa: S608 - from a schema


def copied_tables() -> list[CopiedTable]:
    """Return all tables of a store but the count of leaves, which is set as the `Head`."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES.read_text(encoding="utf-8"))
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " AND name <> 'leaf_count' ORDER BY name"
        ).fetchall()
        return [_copied_table(connection, name) for (name,) in names]


def _copied_table(connection: sqlite3.Connection, name: str) -> CopiedTable:
    columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
    keys = [place for *_, place in columns if place]
    assert keys == [place for *_, place in columns[: len(keys)]], f"the key of {name} comes first"
    named = tuple(column for _, column, *_ in columns)
    return CopiedTable(name, name, named, len(keys) or len(named))


class Head(NamedTuple):
    """What the next event continues.

    That is the highest position ever assigned, how many leaves there are, and the newest stamp.
    """

    position: int
    leaves: int
    latest: int


def head_here(cursor: Cursor) -> Head:
    """Return the head of a ledger in SQLite. Raise `NotMoved` if it has events beyond its head."""
    found = head(cursor)
    cursor.execute("SELECT max(position), max(leaf_index) + 1 FROM stored_events")
    newest = cursor.fetchone()
    if any(end is not None and end > said for end, said in zip(newest, found, strict=True)):
        raise NotMoved(f"the newest event is beyond the ledger's end: {newest}, and {found}")
    return Head(*found, latest=microseconds(newest_stamp(cursor)))


def require_schema(cursor: Cursor) -> None:
    """Raise `NotMoved` if the tables in SQLite do not have this program's schema."""
    cursor.execute("PRAGMA user_version")
    found = cursor.fetchone()[0]
    if found < SCHEMA_VERSION:
        raise NotMoved("the ledger was last used by an earlier version: start the service once")
    if found > SCHEMA_VERSION:
        raise NotMoved(f"the ledger has schema {found}; this is schema {SCHEMA_VERSION}")


def count_rows(cursor: Cursor, table: CopiedTable) -> int:
    cursor.execute(f"SELECT count(*) FROM {table.here}")  # noqa: S608 - from a schema
    return int(cursor.fetchone()[0])


class Copy:
    """The copy of a ledger in a database that no other process uses; see `open_copy`."""

    def __init__(self, url: str, connection: PgConnection) -> None:
        self._url = url
        self._connection = connection

    def prepare(self, move: str, create: Callable[[Cursor], None]) -> None:
        """Create the tables, marked with this move; `create` creates those of the read models.

        Raise `NotMoved` if the database holds anything but an unfinished copy of this move.
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

    def copy_rows(self, here: Cursor, table: CopiedTable) -> Iterator[int]:
        """Copy a table, instead of what an earlier attempt left; yield each batch's rows."""
        self._connection.execute(f"TRUNCATE {table.there}")
        here.execute(table.select(table.here))
        while rows := here.fetchmany(BATCH_ROWS):
            self._add(table, rows)
            yield len(rows)

    def set_head(self, head: Head) -> None:
        """Set where the next event goes."""
        self._connection.execute("UPDATE leaf_count SET position = ?, leaves = ?, latest = ?", head)

    def head(self) -> Head:
        """Return where the next event goes."""
        row = self._connection.execute("SELECT position, leaves, latest FROM leaf_count").fetchone()
        return Head._make(row)

    def log(self) -> AbstractContextManager[Log]:
        """Return what was copied, as of now."""
        return postgres_log(self._url)

    def finish(self) -> None:
        """Make the copy a ledger. May be repeated."""
        # The planner knows nothing of so many rows until autovacuum comes by.
        self._connection.execute("ANALYZE")
        self._connection.execute(f"DROP TABLE IF EXISTS {MOVING}")

    def _add(self, table: CopiedTable, rows: list[Row]) -> None:
        columns = ", ".join(table.columns)
        with (
            self._connection.raw.cursor() as cursor,
            cursor.copy(f"COPY {table.there} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)


@contextmanager
def open_copy(url: str) -> Iterator[Copy]:
    """Open a database to copy into, and keep other processes out of it.

    Raise `StoreUnreachable` if one is in it, and `StoreFailed` for what fails in the block.
    """
    connection = connect(url)
    try:
        with store_errors(), alone(connection):
            yield Copy(url, connection)
    finally:
        connection.close()


def require_equal(here: Cursor, there: Cursor, table: CopiedTable) -> Iterator[int]:
    """Compare all rows of a table with its copy; yield now and then how many more are equal.

    Raise `NotMoved` at the first difference.
    """
    equal = 0
    rows = (
        streamed(cursor, f"{table.select(name)} ORDER BY {table.order}")
        for cursor, name in ((here, table.here), (there, table.there))
    )
    for ours, theirs in zip_longest(*rows):
        if ours != theirs:
            at = (ours or theirs)[: table.key]
            raise NotMoved(f"the copy differs in {table.there}, at {at}; try again")
        equal += 1
        if equal == BATCH_ROWS:
            yield equal
            equal = 0
    yield equal
