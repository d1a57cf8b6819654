"""The ledger in a PostgreSQL database, by psycopg.

- A batch is one pipeline: `BEGIN`, guards, claims, rows sorted by table and key, the tasks that
  follow, then the events, then `COMMIT`. Nobody waits for a round trip while locks are held.
- Any number of processes may have the ledger. What others have appended is asked for before each
  batch (`news`); who needs that nobody appends takes the lock that each batch shares (`paused`).
- Positions and leaf indexes come from the one row of `leaf_count`, which the events' statement
  raises: its lock is held until the commit, so positions become visible in order and without gaps.
- A guard, claim or generation that is not as it should be makes its statement divide by zero: in a
  pipeline nobody could look at a row count in between.
- A connection that is lost, or leads to a server that is no primary any more, is made anew. Whether
  the batch under way was committed is then seen from its last event, once the session that wrote it
  is over: it holds a lock. If there is no server for a minute, that is `StoreFailed`.
- What is found there may be on this server only, if the wait for its standby was broken off. So it
  is confirmed by another commit, which waits for all that was before it.
- A process that is paused holds its locks. So the server ends its session if it does not go on; it
  then does anew what was under way. That a process or its machine is gone, the server sees by
  keepalives.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import errors as pg
from psycopg.rows import TupleRow

from ledger.claim import Claimed
from ledger.codec import leaf_hash
from ledger.errors import StoreBusy, StoreFailed, StoreUnreachable
from ledger.relations import Relations
from ledger.store import claims, pg_locks, tasks
from ledger.store.errors import LOST, store_errors
from ledger.store.pg_connecting import Patience, connect, postgres_reader, transaction
from ledger.store.pg_cursor import PgConnection
from ledger.store.pg_tables import MOVING, create_tables, require_home
from ledger.store.seam import (
    Batch,
    Conflict,
    Cursor,
    Guard,
    Log,
    News,
    Projection,
    Tail,
    Turn,
)
from ledger.store.secret_tables import write_secret
from ledger.store.tail import CHANNEL, PgTail

T = TypeVar("T")

TRANSACTION_S = 10
"""How long the server lets one last: a process that is paused holds its locks, and all wait."""
NEWS_MOST = 10_000
"""After so many events of others it is quicker to forget all than to read what they were about."""

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
_SHARE_APPENDING = f"SELECT pg_advisory_xact_lock_shared({pg_locks.APPENDING})"
_EXCLUDE = (
    f"SELECT pg_advisory_xact_lock({pg_locks.EXCLUSIVE}), set_config('lock_timeout', '1s', true)"
)
"""While this is held nobody else's exclusive work goes on, nor what waits behind that."""
PREPARED_AFTER = 5
"""Times that a statement of batches comes before the server keeps it."""

_NEWS = (
    "SELECT position, originator_id, topic FROM stored_events"
    " WHERE position > ? AND NOT (position > ? AND position <= ?) ORDER BY position"
    " LIMIT ?"
)
_CONFIRM = "UPDATE leaf_count SET position = position RETURNING position"
_CONFLICTS = (pg.UniqueViolation, pg.DivisionByZero, pg.DeadlockDetected, pg.SerializationFailure)


class PostgresStore:
    """A `Store` in one database; `append` and `exclusive` from one thread."""

    def __init__(self, url: str, projection: Projection, *, put_back: bool = False) -> None:
        """Raises `StoreUnreachable`, and `StoreFailed` if this is no ledger of this schema.

        A ledger that was put back from a dump is opened only by who says that it is `put_back`.
        """
        self._url = url
        self._projection = projection
        # What a lost session of ours still does is over as soon as the next one has the lock.
        self._lock = secrets.randbits(62)
        self._unconfirmed = True
        self._position = 0
        """Up to here is durable, and may have been told."""
        self._seen = 0
        """Up to here others' events were told as news, or are not there."""
        self._own = (0, 0)
        """The positions of the last batch: behind the first, up to the second."""
        self._pausing: PgConnection | None = None
        self._reader = postgres_reader(url)
        self._writer = self._writing()
        try:
            with store_errors():
                with transaction(self._writer) as cursor:
                    self._create(cursor)
                    if not put_back:
                        require_home(cursor)
                self._confirm()
            self._seen = self._opened = self._position
        except StoreFailed:
            self._writer.close()
            raise

    def append(self, batch: Batch) -> int:
        patience = Patience()
        while True:
            try:
                position = self._append(batch)
                self._position = max(self._position, position)
                self._confirm()
            except LOST as error:
                patience.spend(error)
            except psycopg.Error as error:
                raise StoreFailed(f"PostgreSQL: {error}") from error
            else:
                return position
            found = self._found(batch)
            if found is not None:
                return found

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        """A connection that is lost meanwhile is `StoreUnreachable`: it may have been done.

        What others hold for long, as readers do their tables, is not waited for: `StoreBusy`.
        """
        self._again(lambda: self._writer.execute("BEGIN"))
        with store_errors():
            try:
                self._check_pause()
                self._writer.execute(_EXCLUDE)
                done = work(self._writer.cursor())
                self._writer.execute("COMMIT")
                self._confirm()
            except pg.LockNotAvailable as error:
                self._writer.execute("ROLLBACK")
                raise StoreBusy(f"PostgreSQL: {error}") from error
            except LOST:
                self._writer.close()
                raise
            except BaseException:
                if not self._writer.lost:
                    self._writer.execute("ROLLBACK")
                raise
            return done

    @contextmanager
    def paused(self) -> Iterator[None]:
        """If the connection is lost, so is the pause: what was to be done in it then fails.

        Whoever appends behind this one waits with it; so it does not wait long for a node that was
        paused in a batch.
        """
        with store_errors(), transaction(self._writer) as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', ?, true), pg_advisory_lock(?)",
                (f"{TRANSACTION_S}s", pg_locks.APPENDING),
            )
        self._pausing = self._writer
        try:
            yield
        finally:
            self._pausing = None
            with suppress(psycopg.OperationalError):
                self._writer.execute("SELECT pg_advisory_unlock(?)", (pg_locks.APPENDING,))

    def _check_pause(self) -> None:
        if self._pausing not in (None, self._writer):
            raise StoreUnreachable("others may have appended meanwhile")

    def news(self) -> Sequence[News] | None:
        """By one statement, that mostly finds nothing."""
        return self._again(self._news)

    def turn(self, name: str) -> Turn:
        return pg_locks.PgTurn(lambda: connect(self._url), name)

    def tail(self) -> Tail:
        return PgTail(lambda: connect(self._url), self._opened)

    def read_stream(self, stream: str) -> list[StoredEvent]:
        def read(cursor: Cursor) -> list[StoredEvent]:
            cursor.execute(
                "SELECT originator_version, topic, state FROM stored_events"
                " WHERE originator_id = ? ORDER BY originator_version",
                (stream,),
            )
            return [StoredEvent(stream, *row) for row in cursor.fetchall()]

        return self._read(read)

    def read_relations(self, uuid: str) -> tuple[int, Relations]:
        def read(cursor: Cursor) -> tuple[int, Relations]:
            cursor.execute(
                "SELECT coalesce((SELECT version FROM guards WHERE uuid = ?), 0)", (uuid,)
            )
            version = cursor.fetchone()[0]
            return version, self._projection.relations(cursor, uuid)

        return self._read(read)

    def read_claim(self, account: str, key: str) -> Claimed | None:
        return self._read(lambda cursor: claims.find(cursor, account, key))

    def read(self, work: Callable[[Cursor], T]) -> T:
        return self._reader.read(work)

    def log(self) -> AbstractContextManager[Log]:
        return self._reader.log()

    def close(self) -> None:
        self._reader.close()
        if not self._writer.lost:  # the server takes a moment to notice the end
            with suppress(psycopg.Error):
                self._writer.execute("SELECT pg_advisory_unlock_all()")
        self._writer.close()

    def _create(self, cursor: Cursor) -> None:
        cursor.execute("SET LOCAL transaction_timeout = 0")  # tables may take long to change
        # Of several processes that start at once, one makes what is missing.
        cursor.execute("SELECT pg_advisory_xact_lock(?)", (pg_locks.MAKING,))
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
            with _prepared(connection), connection.pipeline():
                connection.execute("BEGIN")
                connection.execute(_SHARE_APPENDING)
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
            connection.rollback()  # psycopg forgets with it what it had prepared
            self._projection.look_again(self._writer.cursor())
            raise Conflict(str(error)) from error
        except LOST:
            raise
        except psycopg.Error:
            connection.rollback()
            raise
        position = int(last.fetchall()[0][0])
        self._note_own(position, len(batch.events))
        return position

    def _note_own(self, position: int, events: int) -> None:
        """Our own events are no news; those of others may lie before them."""
        if position - events == self._seen:
            self._seen = position
        self._own = position - events, position

    def _news(self) -> Sequence[News] | None:
        rows = self._writer.execute(_NEWS, (self._seen, *self._own, NEWS_MOST + 1)).fetchall()
        if len(rows) > NEWS_MOST:
            self._seen = self._writer.execute("SELECT position FROM leaf_count").fetchone()[0]
            return None
        if rows:
            self._seen = max(rows[-1][0], self._own[1])
        return [*map(News._make, rows)]

    def _again(self, work: Callable[[], T]) -> T:
        """Does what may be done twice; over another connection, if the writer's is lost."""
        patience = Patience()
        while True:
            try:
                return work()
            except LOST as error:
                patience.spend(error)
                self._reconnect()
            except psycopg.Error as error:
                raise StoreFailed(f"PostgreSQL: {error}") from error

    def _writing(self) -> PgConnection:
        """A connection to write with; while there is one, nobody moves a ledger into the place."""
        connection = connect(self._url)
        connection.raw.prepare_threshold = None  # but for batches
        connection.raw.add_notice_handler(self._notice)
        try:
            with store_errors():
                connection.execute(f"SET transaction_timeout = '{TRANSACTION_S}s'")
                self._lock_for(connection)
        except StoreFailed:
            connection.close()
            raise
        return connection

    def _lock_for(self, connection: PgConnection) -> None:
        having = connection.execute("SELECT pg_try_advisory_lock_shared(?)", (pg_locks.HAVING,))
        if not having.fetchone()[0]:
            raise StoreUnreachable("a ledger is being moved into this database")
        taken = connection.execute("SELECT pg_try_advisory_lock(?)", (self._lock,))
        if not taken.fetchone()[0]:
            raise StoreUnreachable("the session before this one has not ended")

    def _notice(self, said: psycopg.errors.Diagnostic) -> None:
        """Takes note of a commit that did not wait for its standby, in whatever language."""
        if said.source_function == "SyncRepWaitForLSN":
            self._unconfirmed = True

    def _confirm(self) -> None:
        """Makes what is committed durable everywhere, if it may not be: by a commit that waits."""
        while self._unconfirmed:
            self._unconfirmed = False
            position = self._writer.execute(_CONFIRM).fetchone()[0]
            if position < self._position:
                self._writer.close()
                raise StoreFailed(
                    f"events up to {self._position} were acknowledged, and only those up to"
                    f" {position} are there: see `job-ledger adopt`"
                )
            self._position = position

    def _reconnect(self) -> None:
        """Makes the connections anew, as long as that takes; what is found there is confirmed.

        Raises `StoreFailed` in the end.
        """
        patience = Patience()
        while True:
            self._writer.close()
            self._reader.let_go()  # whoever reads must not stay with another server
            try:
                self._writer = self._writing()
                self._unconfirmed = True
                self._confirm()
            except (StoreUnreachable, *LOST) as error:
                patience.spend(error)
            else:
                return

    def _found(self, batch: Batch) -> int | None:
        """Where the batch's last event is, if it was committed before the connection was lost."""
        self._reconnect()
        return self._again(lambda: self._position_of(batch))

    def _position_of(self, batch: Batch) -> int | None:
        if not batch.events:
            return None  # if it was, its guards or claims conflict with themselves
        event = batch.events[-1]
        leaf = _leaf(event)
        rows = self._writer.execute(
            "SELECT position, leaf FROM stored_events"
            " WHERE originator_id = ? AND originator_version = ?",
            (str(event.originator_id), event.originator_version),
        )
        return next((position for position, found in rows if found == leaf), None)

    def _read(self, work: Callable[[Cursor], T]) -> T:
        """Reads as of one moment, again if the connection is lost."""
        patience = Patience()
        while True:
            try:
                return self._reader.read(work)
            except StoreUnreachable as error:
                patience.spend(error)


def _leaf(event: StoredEvent) -> bytes:
    return leaf_hash(str(event.originator_id), event.originator_version, event.topic, event.state)


@contextmanager
def _prepared(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """The statements of a batch are planned once: all of them find rows by their keys.

    Others are not: one that was planned for an empty table would go on reading all of it. What is
    prepared in a pipeline that then fails is not there, and psycopg believes that it is, until
    `rollback`.
    """
    connection.prepare_threshold = PREPARED_AFTER
    try:
        yield
    finally:
        connection.prepare_threshold = None


def _insert_events(
    connection: psycopg.Connection[TupleRow], events: Sequence[StoredEvent]
) -> psycopg.Cursor[TupleRow]:
    """The last position is its only row, once the pipeline is through."""
    if not events:
        return connection.execute("SELECT position FROM leaf_count")
    connection.execute(f"NOTIFY {CHANNEL}")
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
