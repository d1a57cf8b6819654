"""The ledger in a PostgreSQL database, by psycopg.

- A batch is one pipeline: `BEGIN`, guards, claims, rows sorted by table and key, the tasks that
  follow, then the events, then `COMMIT`. Nobody waits for a round trip while locks are held.
- Positions and leaf indexes come from the one row of `leaf_count`, which the events' statement
  raises: its lock is held until the commit, so positions become visible in order and without gaps.
- A guard, claim or generation that is not as it should be makes its statement divide by zero: in a
  pipeline nobody could look at a row count in between.
- A lost connection is made anew. Whether the batch under way was committed is then seen from its
  last event; if it cannot be made, that is `StoreFailed`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import errors as pg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow

from ledger.claim import Claimed
from ledger.codec import leaf_hash
from ledger.errors import StoreFailed, StoreUnreachable
from ledger.relations import Relations
from ledger.store import claims, tasks
from ledger.store.pg_cursor import PgConnection, PgCursor, translated
from ledger.store.seam import Batch, Conflict, Cursor, Guard, Log, LoggedEvent, Projection
from ledger.store.secret_tables import write_secret
from ledger.store.sqlite import SCHEMA_VERSION

T = TypeVar("T")

TABLES = Path(__file__).with_name("sqlite.sql")
FUNCTIONS = Path(__file__).with_name("postgres.sql")
CONNECT_S = 5
RECONNECT_S = 60
PAUSE_S = 0.1
READ_ROWS = 2_000
LOCK = 0x6A6F62
"""Of whoever has the ledger; the letters are `job`."""
CREATING = 0x6D616B65
"""Of whoever makes what is missing in the database; the letters are `make`."""
MOVING = "moving"
"""A table; as long as it is there, the database holds what may be half of a ledger."""

_INSERT_EVENTS = """
WITH head AS (
    UPDATE leaf_count SET leaves = leaves + %(n)s, position = position + %(n)s
    RETURNING leaves - %(n)s AS leaf, position - %(n)s AS before
), inserted AS (
    INSERT INTO stored_events
    SELECT before + nth, leaf + nth - 1, stream, version, topic, state, leaf_hash
    FROM head, unnest(
        %(streams)s::text[], %(versions)s::bigint[], %(topics)s::text[], %(states)s::bytea[],
        %(leaves)s::bytea[]
    ) WITH ORDINALITY AS new (stream, version, topic, state, leaf_hash, nth)
    RETURNING position
)
SELECT max(position) FROM inserted
"""
_RAISE_GUARDS = """
WITH raised AS (
    INSERT INTO guards SELECT uuid, version + 1
    FROM unnest(%(uuids)s::text[], %(versions)s::bigint[]) AS new (uuid, version)
    ON CONFLICT (uuid) DO UPDATE SET version = excluded.version
    WHERE guards.version = excluded.version - 1
    RETURNING 1
)
SELECT 1 / (CASE WHEN count(*) = %(n)s THEN 1 ELSE 0 END) FROM raised
"""
_CONFLICTS = (pg.UniqueViolation, pg.DivisionByZero, pg.DeadlockDetected, pg.SerializationFailure)


def _statements(file: Path) -> Iterator[str]:
    script = file.read_text(encoding="utf-8")
    return (statement for statement in script.split(";\n") if statement.strip())


def connect(url: str) -> PgConnection:
    """A connection in autocommit mode. Raises `StoreUnreachable`."""
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_S)
    except psycopg.Error as error:
        raise StoreUnreachable(f"cannot reach PostgreSQL: {error}") from error
    connection.adapters.register_loader("numeric", _Sum)
    return PgConnection(connection)


@contextmanager
def connected(url: str) -> Iterator[PgConnection]:
    """A connection for something short. Raises `StoreUnreachable`, and `StoreFailed` in it."""
    connection = connect(url)
    try:
        with _store_errors():
            yield connection
    finally:
        connection.close()


class _Sum(Loader):
    """A sum of integers is `numeric`, and a number without a fraction."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


def create_tables(cursor: Cursor) -> None:
    """Makes a store's tables where they are missing; refuses those of a later schema."""
    cursor.execute("CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)")
    cursor.execute("SELECT version FROM schema_version")
    found = cursor.fetchone()
    if found is not None and found[0] > SCHEMA_VERSION:
        raise StoreFailed(f"the database has schema {found[0]}; this is {SCHEMA_VERSION}")
    for file in (TABLES, FUNCTIONS):
        for statement in _statements(file):
            cursor.execute(statement)
    cursor.execute("DELETE FROM schema_version")
    cursor.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))


class PostgresStore:
    """A `Store` in one database. One process has it; `append` and `exclusive` from one thread."""

    def __init__(self, url: str, projection: Projection, *, alone: bool = False) -> None:
        """With `alone` no other process has the ledger; else that is `StoreUnreachable`."""
        self._url = url
        self._projection = projection
        self._alone = alone
        self._writer = self._writing()
        try:
            with _store_errors(), _transaction(self._writer) as cursor:
                self._create(cursor)
        except StoreFailed:
            self._writer.close()
            raise
        self._reader = connect(url)

    def append(self, batch: Batch) -> int:
        try:
            return self._append(batch)
        except psycopg.OperationalError:
            self._reconnect()
            position = self._position_of(batch)
            return self.append(batch) if position is None else position
        except psycopg.Error as error:
            raise StoreFailed(f"PostgreSQL: {error}") from error

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        """A connection that is lost meanwhile is `StoreUnreachable`: it may have been done."""
        try:
            self._writer.execute("BEGIN")
        except psycopg.OperationalError:
            self._reconnect()
            self._writer.execute("BEGIN")
        with _store_errors():
            try:
                done = work(self._writer.cursor())
            except BaseException:
                if not self._writer.lost:
                    self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
            return done

    def read_stream(self, stream: str) -> list[StoredEvent]:
        rows = self._rows(
            "SELECT originator_version, topic, state FROM stored_events"
            " WHERE originator_id = ? ORDER BY originator_version",
            stream,
        )
        return [StoredEvent(stream, version, topic, state) for version, topic, state in rows]

    def read_relations(self, uuid: str) -> tuple[int, Relations]:
        def read(cursor: PgCursor) -> tuple[int, Relations]:
            cursor.execute(
                "SELECT coalesce((SELECT version FROM guards WHERE uuid = ?), 0)", (uuid,)
            )
            version = cursor.fetchone()[0]
            return version, self._projection.relations(cursor, uuid)

        return self._read(read)

    def read_claim(self, account: str, key: str) -> Claimed | None:
        return self._read(lambda cursor: claims.find(cursor, account, key))

    def log(self) -> AbstractContextManager[Log]:
        return open_log(self._url)

    def close(self) -> None:
        self._reader.close()
        if self._alone and not self._writer.lost:  # the server takes a moment to notice the end
            with suppress(psycopg.Error):
                self._writer.execute("SELECT pg_advisory_unlock(?)", (LOCK,))
        self._writer.close()

    def _create(self, cursor: Cursor) -> None:
        # Of several processes that start at once, one makes what is missing.
        cursor.execute("SELECT pg_advisory_xact_lock(?)", (CREATING,))
        cursor.execute("SELECT to_regclass(?)", (MOVING,))
        if cursor.fetchone()[0] is not None:
            raise StoreFailed(
                "a ledger is being moved into this database; `job-ledger move` has not finished"
            )
        create_tables(cursor)
        self._projection.create(cursor)
        tasks.create(self._writer.raw)

    def _append(self, batch: Batch) -> int:
        connection = self._writer.raw
        try:
            with connection.pipeline():
                connection.execute("BEGIN")
                cursor = self._writer.cursor()
                _raise_guards(connection, batch.guards)
                claims.record_or_fail(cursor, batch.claims)
                for secret in batch.secrets:
                    write_secret(cursor, secret)
                self._projection.write(cursor, batch.puts, batch.drops)
                tasks.defer(connection, batch.tasks)
                last = _insert_events(connection, batch.events)
                connection.execute("COMMIT")
        except _CONFLICTS as error:
            connection.execute("ROLLBACK")
            self._projection.look_again(self._writer.cursor())
            raise Conflict(str(error)) from error
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            connection.execute("ROLLBACK")
            raise
        return int(last.fetchall()[0][0])

    def _writing(self) -> PgConnection:
        """A connection to write with; the session that may write has the lock, so it alone does."""
        connection = connect(self._url)
        # What is prepared in a pipeline that then fails is not there, and psycopg believes it is.
        connection.raw.prepare_threshold = None
        if self._alone:
            taken = connection.execute("SELECT pg_try_advisory_lock(?)", (LOCK,)).fetchone()[0]
            if not taken:
                connection.close()
                raise StoreUnreachable("another process has the ledger in this database")
        return connection

    def _reconnect(self) -> None:
        """Makes both connections anew, as long as that takes. Raises `StoreFailed` in the end."""
        until = time.monotonic() + RECONNECT_S
        while True:
            try:
                self._writer.close()
                self._reader.close()
                self._writer, self._reader = self._writing(), connect(self._url)
            except StoreUnreachable as error:
                if time.monotonic() > until:
                    raise StoreFailed(str(error)) from error
                time.sleep(PAUSE_S)
            else:
                return

    def _position_of(self, batch: Batch) -> int | None:
        """Where the batch's last event is, if it was committed before the connection was lost."""
        if not batch.events:
            return None  # if it was, its guards or claims conflict with themselves
        event = batch.events[-1]
        leaf = _leaf(event)
        rows = self._rows(
            "SELECT position, leaf FROM stored_events"
            " WHERE originator_id = ? AND originator_version = ?",
            str(event.originator_id),
            event.originator_version,
        )
        return next((position for position, found in rows if found == leaf), None)

    def _rows(self, sql: str, *parameters: str | int) -> list[Any]:
        return self._read(lambda cursor: cursor.execute(sql, parameters).fetchall())

    def _read(self, read: Callable[[PgCursor], T]) -> T:
        """Reads as of one moment, again if the connection is lost."""
        while True:
            try:
                with _store_errors(), _snapshot(self._reader) as cursor:
                    return read(cursor)
            except StoreUnreachable:
                self._reconnect()


def _leaf(event: StoredEvent) -> bytes:
    return leaf_hash(str(event.originator_id), event.originator_version, event.topic, event.state)


def _insert_events(
    connection: psycopg.Connection[TupleRow], events: Sequence[StoredEvent]
) -> psycopg.Cursor[TupleRow]:
    """The last position is its only row, once the pipeline is through."""
    if not events:
        return connection.execute("SELECT position FROM leaf_count")
    return connection.execute(
        _INSERT_EVENTS,
        {
            "n": len(events),
            "streams": [str(event.originator_id) for event in events],
            "versions": [event.originator_version for event in events],
            "topics": [event.topic for event in events],
            "states": [event.state for event in events],
            "leaves": [_leaf(event) for event in events],
        },
    )


def _raise_guards(connection: psycopg.Connection[TupleRow], guards: Sequence[Guard]) -> None:
    """Raises each guard by one; who rests on the same version and comes second fails."""
    if guards:
        given = sorted(guards)
        connection.execute(
            _RAISE_GUARDS,
            {
                "n": len(given),
                "uuids": [guard.uuid for guard in given],
                "versions": [guard.version for guard in given],
            },
        )


@contextmanager
def open_log(url: str) -> Iterator[Log]:
    """The ledger in this database as of now, read-only. Raises `StoreFailed`."""
    connection = connect(url)
    try:
        with _store_errors():
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


@contextmanager
def _transaction(connection: PgConnection) -> Iterator[PgCursor]:
    with connection.raw.transaction():
        yield connection.cursor()


@contextmanager
def _snapshot(connection: PgConnection) -> Iterator[PgCursor]:
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield connection.cursor()
    finally:
        if not connection.lost:
            connection.execute("ROLLBACK")


@contextmanager
def _store_errors() -> Iterator[None]:
    """What the connection cannot do may be tried again; the rest is final."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise StoreUnreachable(f"PostgreSQL: {error}") from error
    except psycopg.Error as error:
        raise StoreFailed(f"PostgreSQL: {error}") from error
