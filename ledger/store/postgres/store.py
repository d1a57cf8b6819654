"""The ledger in a PostgreSQL database, by psycopg.

- A batch is one pipeline: `BEGIN`, guards, claims, rows sorted by table and key, the tasks that
  follow, the events, spent ids, leases, then `COMMIT`. Nothing waits for a round trip while locks
  are held.
- Any number of processes may use the ledger. Before each batch, `news` reads what others have
  appended; `paused` takes the lock that every batch shares, so that nothing is appended.
- Positions and leaf indexes come from the one row of `leaf_count`, which the events' statement
  raises: its lock is held until the commit, so positions become visible in order and without gaps.
- A guard, claim, generation or new stream that is not as expected makes its statement divide by
  zero: inside a pipeline there are no row counts. Stamps that are not of the server's time make
  theirs take the logarithm of zero, which no other statement does.
- If the connection is lost (see `postgres/session`), the writer's mark shows whether the batch was
  committed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.rows import TupleRow

from ledger.codec import leaf_of
from ledger.domain.errors.store import PauseLost, StoreBusy, StoreFailed, StoreFull
from ledger.domain.producers.texts import unsaid_in
from ledger.domain.stamps import microseconds
from ledger.store.errors import LOST, store_errors
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres import task_queue as tasks
from ledger.store.postgres.commit_tail import CHANNEL
from ledger.store.postgres.connections import Patience, postgres_reader, transaction
from ledger.store.postgres.marks import remove_old
from ledger.store.postgres.others import PgOthers
from ledger.store.postgres.server_clock import CLOCK, ServerClock
from ledger.store.postgres.session import WritingSession
from ledger.store.postgres.tables import MOVING, create_tables, require_home
from ledger.store.seam import Batch, Conflict, Cursor, Guard, Projection, StampsRefused
from ledger.store.tables import external_ids, leases, spent_ids, texts
from ledger.store.tables import idempotency_keys as claims
from ledger.store.tables.secrets import write_secret
from ledger.store.whole_streams import beginnings

T = TypeVar("T")

LATE, EARLY = timedelta(seconds=60), timedelta(seconds=1)
"""How far stamps may be behind the server's time: deciding takes a while. And how far ahead."""

_INSERT_EVENTS = f"""
WITH head AS (
    UPDATE leaf_count SET leaves = leaves + %(n)s, position = position + %(n)s,
    latest = greatest(latest, %(newest)s::bigint) + ln(coalesce(
        greatest(latest, coalesce(%(clock)s::bigint, {CLOCK}))
        BETWEEN %(least)s::bigint AND %(most)s::bigint, true)::int)::bigint
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
SELECT max(position) / (CASE WHEN EXISTS (
    SELECT 1 FROM stored_events WHERE originator_id = ANY(%(begun)s::text[])
) THEN 0 ELSE 1 END) FROM inserted
"""  # noqa: S608 - constants
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
"""While this is held, no other exclusive work runs, nor anything that waits behind it."""
PREPARE_THRESHOLD = 5
"""Executions of a batch's statement before the server prepares it."""

_OFF = pg.InvalidArgumentForLogarithm
_CONFLICTS = (pg.UniqueViolation, pg.DivisionByZero, pg.DeadlockDetected, pg.SerializationFailure)


class PostgresStore:
    """A `Store` in one database; `append` and `exclusive` from one thread."""

    disk = None

    def __init__(
        self,
        url: str,
        projection: Projection,
        *,
        put_back: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Raise `StoreUnreachable`, and `StoreFailed` if this is not a ledger of this schema.

        A ledger that was restored from a dump is opened only with `put_back`. Tests give a `clock`
        that counts instead of the server's.
        """
        self._projection = projection
        self._reader = postgres_reader(url)
        self.read, self.log = self._reader.read, self._reader.log
        # Reads must not stay with another server than writes.
        self._session = WritingSession(url, on_reconnect=self._reader.let_go)
        self._clock = ServerClock(clock)
        try:
            with store_errors():
                with transaction(self._session.connection) as cursor:
                    self._create(cursor)
                    if not put_back:
                        require_home(cursor)
                remove_old(self._session.connection, self._clock.parameter())
                self._session.confirm()
            self.others = PgOthers(url, self._session, self.read, self._clock, projection.LIVE)
        except StoreFailed:
            self.close()
            raise

    def append(self, batch: Batch) -> int:
        session, patience = self._session, Patience()
        while True:
            try:
                position = self._append(batch)
                session.position = max(session.position, position)
                session.settle()
            except LOST as error:
                if session.find_out():
                    return session.position
                patience.spend(error)
            except psycopg.Error as error:
                raise StoreFailed(f"PostgreSQL: {error}") from error
            else:
                return position

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        """Raise `StoreUnreachable` if the connection is lost and nothing was committed.

        Raise `PauseLost` if it was committed, but the pause was lost in which it was done. Raise
        `StoreBusy` instead of waiting for locks that others hold for long, as readers of tables do.
        """
        with store_errors():
            done = self._exclude(work)
            self._commit()
            return done

    def _exclude(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in a transaction; leave none open if that fails."""
        session = self._session
        session.repeat(lambda: session.connection.execute("BEGIN"))
        with store_errors():
            try:
                self.others.check_pause()
                session.connection.execute(_EXCLUDE)
                done = work(session.connection.cursor())
                session.marks.put(session.connection, self._clock.parameter())
            except pg.LockNotAvailable as error:
                session.connection.execute("ROLLBACK")
                raise StoreBusy(f"PostgreSQL: {error}") from error
            except pg.DiskFull:
                if not session.connection.lost:
                    session.connection.execute("ROLLBACK")
                raise
            except LOST:
                session.connection.close()
                raise
            except BaseException:
                if not session.connection.lost:
                    session.connection.execute("ROLLBACK")
                raise
            return done

    def _commit(self) -> None:
        session = self._session
        try:
            session.connection.execute("COMMIT")
            session.settle()
        except LOST:
            if not session.find_out():
                raise
            if self.others.pause_is_lost():
                raise PauseLost from None

    def close(self) -> None:
        self._reader.close()
        self._session.close()

    def _create(self, cursor: Cursor) -> None:
        cursor.execute("SET LOCAL transaction_timeout = 0")  # changing tables may take long
        # Of several processes that start at once, one creates what is missing.
        cursor.execute("SELECT pg_advisory_xact_lock(?)", (pg_locks.MAKING,))
        cursor.execute("SELECT to_regclass(?)", (MOVING,))
        if cursor.fetchone()[0] is not None:
            raise StoreFailed(
                "a ledger is being moved into this database; `job-ledger move` has not finished"
            )
        create_tables(cursor)
        self._projection.create(cursor)
        tasks.create(self._session.connection.raw)

    def _append(self, batch: Batch) -> int:
        session = self._session.connection
        connection = session.raw
        try:
            with _prepared(connection), connection.pipeline():
                connection.execute("BEGIN")
                connection.execute(_SHARE_APPENDING)
                self._session.marks.put(session, self._clock.parameter())
                cursor = session.cursor()
                _raise_guards(connection, batch.guards)
                claims.record_or_fail(cursor, batch.claims)
                for secret in batch.secrets:
                    write_secret(cursor, secret)
                texts.write(cursor, batch.texts)
                self._projection.write(cursor, batch.puts, batch.drops)
                tasks.defer(connection, batch.tasks)
                last = _insert_events(connection, batch, self._clock.parameter())
                _spend(connection, batch)
                external_ids.add(cursor, batch.external_ids)
                _change_leases(cursor, batch, self._clock.parameter())
                connection.execute("COMMIT")
        except _CONFLICTS as error:
            connection.rollback()  # this also makes psycopg forget what it had prepared
            self._projection.look_again(session.cursor())
            raise Conflict(str(error)) from error
        except _OFF as error:
            connection.rollback()
            raise StampsRefused from error
        except pg.DiskFull as error:
            connection.rollback()  # if it was the log's disk, the server is down: this is `LOST`
            self._projection.look_again(session.cursor())
            raise StoreFull from error
        except LOST:
            raise
        except BaseException:
            connection.rollback()
            raise
        position = int(last.fetchall()[0][0])
        self.others.note_own(position, len(batch.events))
        return position


@contextmanager
def _prepared(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """Prepare the statements of a batch, all of which find rows by their keys.

    Other statements are not prepared: one that was planned for an empty table would go on reading
    all of it. What a failed pipeline has prepared does not exist, but psycopg believes that it does
    until `rollback`.
    """
    connection.prepare_threshold = PREPARE_THRESHOLD
    try:
        yield
    finally:
        connection.prepare_threshold = None


def _insert_events(
    connection: psycopg.Connection[TupleRow], batch: Batch, clock: int | None
) -> psycopg.Cursor[TupleRow]:
    """Insert the events; the result's only row, after the pipeline, is the last position."""
    events, stamps = batch.events, batch.stamps
    if not events:
        return connection.execute("SELECT position FROM leaf_count")
    connection.execute(f"NOTIFY {CHANNEL}")
    return connection.execute(
        _INSERT_EVENTS,
        {
            "n": len(events),
            "streams": [str(event.originator_id) for event in events],
            "begun": beginnings(events),
            "versions": [event.originator_version for event in events],
            "topics": [event.topic for event in events],
            "states": [event.state for event in events],
            "leaves": [leaf_of(event) for event in events],
            "newest": stamps and microseconds(stamps.newest),
            "least": stamps and microseconds(stamps.newest - EARLY),
            "most": stamps and microseconds(stamps.oldest + LATE),
            "clock": clock,
        },
    )


def _spend(connection: psycopg.Connection[TupleRow], batch: Batch) -> None:
    """Spend the ids of what is discarded, and fail if what must not be was discarded before.

    By now this transaction has the row that all events wait for: this statement sees every discard
    before it, and none can come beside it.
    """
    if batch.unspent:
        connection.execute(spent_ids.NONE_IS_SPENT, (list(batch.unspent),))
    if batch.spent:
        connection.execute(spent_ids.ADD_ALL, (list(batch.spent), list(batch.spent.values())))
        connection.execute(external_ids.DROP_ALL, (list(batch.spent),))


def _change_leases(cursor: Cursor, batch: Batch, clock: int | None) -> None:
    """Change leases last: nobody who waits for the service time has what this waits for."""
    unsaid = unsaid_in(batch.texts)
    if batch.leases or batch.dues or unsaid:
        leases.be_there(cursor, clock)
        leases.require_due(cursor, batch.dues)
        leases.apply(cursor, batch.leases)
        leases.drop_words(cursor, unsaid)


def _raise_guards(connection: psycopg.Connection[TupleRow], guards: Sequence[Guard]) -> None:
    """Raise each guard by one. A second batch that rests on the same version fails."""
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
