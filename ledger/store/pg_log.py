"""The record in a PostgreSQL database, as of one moment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ledger.store.pg_connecting import connect, store_errors
from ledger.store.pg_cursor import PgConnection, PgCursor, translated
from ledger.store.seam import Log, LoggedEvent

READ_ROWS = 2_000


@contextmanager
def open_log(url: str) -> Iterator[Log]:
    """The ledger in this database as of now, read-only. Raises `StoreFailed`."""
    connection = connect(url)
    try:
        with store_errors():
            yield PgLog(connection)
    finally:
        connection.close()


class PgLog:
    """A `Log` over one reading connection, whose transaction begins here."""

    def __init__(self, connection: PgConnection) -> None:
        self._connection = connection
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._streams = 0
        self._last = self._one("SELECT coalesce(max(position), 0) FROM stored_events")

    def cursor(self) -> PgCursor:
        return self._connection.cursor()

    def leaf_count(self) -> int:
        return self._one("SELECT leaves FROM leaf_count")

    def count(self) -> int:
        return self._one("SELECT count(*) FROM stored_events")

    def last_position(self) -> int:
        return self._last

    def events(self, after: int = 0) -> Iterator[LoggedEvent]:
        rows = self._streamed(
            "SELECT position, leaf_index, originator_id, originator_version, topic, state, leaf"
            " FROM stored_events WHERE position > ? ORDER BY position",
            (after,),
        )
        return map(LoggedEvent._make, rows)

    def by_stream(self) -> Iterator[tuple[str, str, bytes]]:
        return self._streamed(
            "SELECT originator_id, topic, state FROM stored_events"
            " ORDER BY originator_id, originator_version",
            (),
        )

    def streams_after(self, after: int) -> list[str]:
        rows = self._connection.execute(
            "SELECT DISTINCT originator_id FROM stored_events WHERE position > ?", (after,)
        )
        return [stream for (stream,) in rows]

    def streams_of(self, kind: str) -> list[str]:
        rows = self._connection.execute(
            "SELECT DISTINCT originator_id FROM stored_events"
            " WHERE originator_id >= ? AND originator_id < ? ORDER BY originator_id",
            (f"{kind}-", f"{kind}."),
        )
        return [stream for (stream,) in rows]

    def stream(self, stream: str) -> list[tuple[int, str, bytes]]:
        return self._connection.execute(
            "SELECT position, topic, state FROM stored_events"
            " WHERE originator_id = ? ORDER BY originator_version",
            (stream,),
        ).fetchall()

    def _streamed(self, sql: str, parameters: Sequence[int]) -> Iterator[Any]:
        """Some rows at a time, by a cursor of the server's: a plain one would fetch all at once."""
        self._streams += 1
        with self._connection.raw.cursor(name=f"stream_{self._streams}") as cursor:
            cursor.itersize = READ_ROWS
            cursor.execute(translated(sql), parameters)
            yield from cursor

    def _one(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])
