"""The record in either database, as of one moment."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

from ledger.store.postgres.cursor import PgCursor
from ledger.store.seam import NO_END, Cursor, LoggedEvent, Scalar
from ledger.store.whole_streams import FIRST, whole

READ_ROWS = 2_000
"""Rows fetched at a time from a long read."""
SELECT_EVENTS = (
    "SELECT position, leaf_index, originator_id, originator_version, topic, state, leaf"
    " FROM stored_events"
)
"""Selects the columns of a `LoggedEvent`."""


class Connection(Protocol):
    """The common part of connections to both databases."""

    def cursor(self) -> Cursor: ...

    def execute(self, sql: str, parameters: Sequence[Scalar] = ..., /) -> Any: ...

    def close(self) -> None: ...


def streamed(
    cursor: Cursor, sql: str, parameters: Sequence[Scalar] = ()
) -> Generator[Any, None, None]:
    """Yield all rows of a statement, with only some in memory at a time."""
    if isinstance(cursor, PgCursor):
        yield from cursor.streamed(sql, parameters, rows=READ_ROWS)
        return
    cursor.execute(sql, parameters)
    while rows := cursor.fetchmany(READ_ROWS):
        yield from rows


class SqlLog:
    """A `Log` over a connection whose transaction has begun and lasts as long as the log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # In SQLite the first read fixes the snapshot.
        self._last = self._number("SELECT coalesce(max(position), 0) FROM stored_events")

    def cursor(self) -> Cursor:
        return self._connection.cursor()

    def last_position(self) -> int:
        return self._last

    def count(self) -> int:
        return self._number("SELECT count(*) FROM stored_events")

    def leaf_count(self) -> int:
        return self._number("SELECT leaves FROM leaf_count")

    def events(self, after: int = 0) -> Iterator[LoggedEvent]:
        sql = f"{SELECT_EVENTS} WHERE position > ? ORDER BY position"
        return map(LoggedEvent._make, streamed(self.cursor(), sql, (after,)))

    def by_stream(self, after: str = "", until: int = NO_END) -> Iterator[tuple[str, str, bytes]]:
        rows = streamed(
            self.cursor(),
            "SELECT originator_id, originator_version, topic, state FROM stored_events"
            " WHERE originator_id > ? AND position <= ?"
            " ORDER BY originator_id, originator_version",
            (after, until),
        )
        return ((stream, topic, state) for stream, _, topic, state in whole(rows))

    def streams_after(self, after: int) -> list[str]:
        return self._names(
            "SELECT DISTINCT originator_id FROM stored_events WHERE position > ?", after
        )

    def streams_of(self, kind: str) -> list[str]:
        return self._names(
            "SELECT originator_id FROM stored_events WHERE originator_id >= ?"
            " AND originator_id < ? AND originator_version = ? ORDER BY originator_id",
            f"{kind}-",
            f"{kind}.",  # "." comes right after "-"
            FIRST,
        )

    def stream(self, stream: str) -> list[tuple[int, str, bytes]]:
        rows = self._rows(
            "SELECT originator_id, originator_version, position, topic, state FROM stored_events"
            " WHERE originator_id = ? ORDER BY originator_version",
            stream,
        )
        return [(position, topic, state) for _, _, position, topic, state in whole(rows)]

    def _names(self, sql: str, *parameters: Scalar) -> list[str]:
        return [name for (name,) in self._rows(sql, *parameters)]

    def _number(self, sql: str) -> int:
        return int(self._rows(sql)[0][0])

    def _rows(self, sql: str, *parameters: Scalar) -> list[Any]:
        cursor = self.cursor()
        cursor.execute(sql, parameters)
        return cursor.fetchall()
