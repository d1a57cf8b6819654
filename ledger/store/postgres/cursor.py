"""PostgreSQL behind the cursor that the SQL of the store and the views is written for.

That SQL is SQLite's. The little that differs in PostgreSQL is translated here.
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

NUL_REPLACEMENT = "\ufffe"
"""A noncharacter, which is in no stored text."""
_MARK = re.compile(r"\?(\d*)")
_numbers = count(1)
_COLUMNS = (
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "bigint PRIMARY KEY"),
    (" INTEGER", " bigint"),
    (" TEXT", ' text COLLATE "C"'),
    (" BLOB", " bytea"),
    (") WITHOUT ROWID", ")"),
)
"""Column types in SQLite and in PostgreSQL; texts sort by their bytes in both."""
_NAMES = (
    "(SELECT relname::text AS name, CASE relkind WHEN 'i' THEN 'index' ELSE 'table' END AS type"
    " FROM pg_class WHERE relkind IN ('r', 'i')"
    " AND relnamespace = quote_ident(current_schema())::regnamespace) AS names"
)
_EXPRESSIONS = tuple(
    (re.compile(ours), theirs)
    for ours, theirs in (
        (r"IN \(\)", "IN (NULL)"),  # an empty list
        (r"\binstr\(", "strpos("),
        (r"\bgroup_concat\(([^()]+)\)", r"string_agg(\1, ',')"),
        (r"\bjson_array_length\((\w+)\)", r"json_array_length(convert_from(\1, 'UTF8')::json)"),
        # All values of a column are of its type.
        (r"\bCASE typeof\(\w+\) WHEN '\w+' THEN (.+?) END\b", r"\1"),
        (r"\bCAST\((\w+) AS BLOB\)", r"convert_to(\1, 'UTF8')"),
        (r"\bFROM sqlite_master\b", f"FROM {_NAMES}"),
    )
)
"""Expressions in SQLite and in PostgreSQL."""


@lru_cache(maxsize=4096)
def translate(sql: str) -> LiteralString:
    """Translate a statement for psycopg: `?` is the next parameter, `?2` the second one."""
    if sql.lstrip().startswith("CREATE TABLE") or "\nCREATE TABLE" in sql:
        for ours, theirs in _COLUMNS:
            sql = sql.replace(ours, theirs)
    for expression, translation in _EXPRESSIONS:
        sql = expression.sub(translation, sql)
    return _MARK.sub(lambda m: f"%(p{m[1]})s" if m[1] else "%s", sql.replace("%", "%%"))


@lru_cache(maxsize=4096)
def _is_numbered(sql: str) -> bool:
    return "?1" in sql


def _parameters(sql: str, parameters: Sequence[Scalar]) -> Sequence[Scalar] | Mapping[str, Scalar]:
    if _is_numbered(sql):
        return {f"p{number}": _text(parameter) for number, parameter in enumerate(parameters, 1)}
    return [_text(parameter) for parameter in parameters]


def _text(parameter: Scalar) -> Scalar:
    """Replace NULs, which PostgreSQL's and the ledger's texts cannot have: nothing is found."""
    if isinstance(parameter, str) and "\0" in parameter:
        return parameter.replace("\0", NUL_REPLACEMENT)
    return parameter


class PgCursor:
    """A `ledger.store.seam.Cursor`; iterates over the remaining rows."""

    def __init__(self, cursor: psycopg.Cursor[TupleRow]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, sql: str, parameters: Sequence[Scalar] = (), /) -> "PgCursor":
        self._cursor.execute(translate(sql), _parameters(sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Scalar]], /) -> "PgCursor":
        self._cursor.executemany(translate(sql), [_parameters(sql, some) for some in parameters])
        return self

    def execute_columns(self, sql: str, columns: Sequence[Sequence[Scalar]], /) -> None:
        """Execute the statement once, with a column of many rows as each parameter."""
        self._cursor.execute(translate(sql), [list(column) for column in columns])

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchmany(self, size: int, /) -> list[Any]:
        return self._cursor.fetchmany(size)

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    def streamed(self, sql: str, parameters: Sequence[Scalar], *, rows: int) -> Iterator[Any]:
        """Yield all rows by a server-side cursor that fetches so many at a time.

        `execute` fetches all of them at once. In a transaction only.
        """
        name = f"streamed_{next(_numbers)}"
        cursor = self._cursor.connection.cursor(name=name)
        try:
            cursor.itersize = rows
            cursor.execute(translate(sql), _parameters(sql, parameters))
            yield from cursor
        finally:
            with suppress(psycopg.OperationalError):  # the connection was lost unnoticed
                cursor.close()
            cursor.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class PgConnection:
    """A connection in autocommit mode, with the few methods of sqlite3's that we use."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.raw = connection

    @property
    def lost(self) -> bool:
        """Whether the connection is unusable."""
        return self.raw.closed

    def cursor(self) -> PgCursor:
        return PgCursor(self.raw.cursor())

    def execute(self, sql: str, parameters: Sequence[Scalar] = (), /) -> PgCursor:
        return self.cursor().execute(sql, parameters)

    def close(self) -> None:
        self.raw.close()
