"""PostgreSQL behind the cursor that the store's and the views' SQL is written for.

That SQL is SQLite's, and little of it is another in PostgreSQL: all of that is said here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from ledger.domain.context import Scalar

NOWHERE = "\ufffe"
"""A noncharacter."""
_MARK = re.compile(r"\?(\d*)")
_numbers = count(1)
_COLUMNS = (
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "bigint PRIMARY KEY"),
    (" INTEGER", " bigint"),
    (" TEXT", ' text COLLATE "C"'),
    (" BLOB", " bytea"),
    (") WITHOUT ROWID", ")"),
)
"""What a table is made of in SQLite, and in PostgreSQL; texts sort by their bytes in both."""
_NAMES = (
    "(SELECT relname::text AS name, CASE relkind WHEN 'i' THEN 'index' ELSE 'table' END AS type"
    " FROM pg_class WHERE relkind IN ('r', 'i')"
    " AND relnamespace = quote_ident(current_schema())::regnamespace) AS names"
)
_EXPRESSIONS = tuple(
    (re.compile(ours), theirs)
    for ours, theirs in (
        (r"IN \(\)", "IN (NULL)"),  # in nothing
        (r"\binstr\(", "strpos("),
        (r"\bgroup_concat\(([^()]+)\)", r"string_agg(\1, ',')"),
        (r"\bjson_array_length\((\w+)\)", r"json_array_length(convert_from(\1, 'UTF8')::json)"),
        # All values of a column are of its type.
        (r"\bCASE typeof\(\w+\) WHEN '\w+' THEN (.+?) END\b", r"\1"),
        (r"\bCAST\((\w+) AS BLOB\)", r"convert_to(\1, 'UTF8')"),
        (r"\bFROM sqlite_master\b", f"FROM {_NAMES}"),
    )
)
"""What SQLite writes in one way and PostgreSQL in another."""


@lru_cache(maxsize=4096)
def translated(sql: str) -> LiteralString:
    """With psycopg's marks: `?` is the next parameter, `?2` the second one."""
    if sql.lstrip().startswith("CREATE TABLE") or "\nCREATE TABLE" in sql:
        for ours, theirs in _COLUMNS:
            sql = sql.replace(ours, theirs)
    for expression, translation in _EXPRESSIONS:
        sql = expression.sub(translation, sql)
    return _MARK.sub(lambda m: f"%(p{m[1]})s" if m[1] else "%s", sql.replace("%", "%%"))


@lru_cache(maxsize=4096)
def _is_numbered(sql: str) -> bool:
    return "?1" in sql


def _given(sql: str, parameters: Sequence[Scalar]) -> Sequence[Scalar] | Mapping[str, Scalar]:
    if _is_numbered(sql):
        return {f"p{nth}": _text(parameter) for nth, parameter in enumerate(parameters, 1)}
    return [_text(parameter) for parameter in parameters]


def _text(parameter: Scalar) -> Scalar:
    """No text has a NUL in PostgreSQL, nor in the ledger: one with it is found nowhere."""
    if isinstance(parameter, str) and "\0" in parameter:
        return parameter.replace("\0", NOWHERE)
    return parameter


class PgCursor:
    """A `ledger.store.seam.Cursor`; iterates over the rows that are left."""

    def __init__(self, cursor: psycopg.Cursor[TupleRow]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, sql: str, parameters: Sequence[Scalar] = (), /) -> "PgCursor":
        self._cursor.execute(translated(sql), _given(sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Scalar]], /) -> "PgCursor":
        self._cursor.executemany(translated(sql), [_given(sql, some) for some in parameters])
        return self

    def execute_columns(self, sql: str, columns: Sequence[Sequence[Scalar]], /) -> None:
        """The statement, once, with a whole column of many rows as each of its parameters."""
        self._cursor.execute(translated(sql), [list(column) for column in columns])

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchmany(self, size: int, /) -> list[Any]:
        return self._cursor.fetchmany(size)

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    def streamed(self, sql: str, parameters: Sequence[Scalar], *, rows: int) -> Iterator[Any]:
        """Yield all rows, so many fetched at a time, by a cursor of the server's.

        `execute` fetches all of them at once. In a transaction only.
        """
        name = f"streamed_{next(_numbers)}"
        cursor = self._cursor.connection.cursor(name=name)
        try:
            cursor.itersize = rows
            cursor.execute(translated(sql), _given(sql, parameters))
            yield from cursor
        finally:
            with suppress(psycopg.OperationalError):  # it was not known yet that it is lost
                cursor.close()
            cursor.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class PgConnection:
    """A connection in autocommit mode, with the few methods of sqlite3's that are used."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.raw = connection

    @property
    def lost(self) -> bool:
        """Whether nothing can be done with it any more."""
        return self.raw.closed

    def cursor(self) -> PgCursor:
        return PgCursor(self.raw.cursor())

    def execute(self, sql: str, parameters: Sequence[Scalar] = (), /) -> PgCursor:
        return self.cursor().execute(sql, parameters)

    def close(self) -> None:
        self.raw.close()
