"""The ledger in one SQLite file, on top of the eventsourcing library's recorder.

What differs from the library's, and why:
- positions come from `AUTOINCREMENT`: the library's implicit rowids are used again after the newest
  rows are deleted, and a reader that remembers a position would skip events;
- writing transactions begin with `BEGIN IMMEDIATE`, on one connection; a deferred one that reads
  first meets "database is locked", whatever the time-out;
- `synchronous=FULL`: with NORMAL, acknowledged commits are lost when the power goes;
- `auto_vacuum=INCREMENTAL`, set before the first table, because later that takes a full VACUUM;
- only the writing connection checkpoints the WAL: SQLite before 3.51.3 can corrupt one that two
  connections checkpoint at once;
- any error of input or output is `StoreFailed`: after one failed fsync SQLite goes on acknowledging
  commits that are not on disk, so the process must stop. If it comes while SQLite commits, only the
  next start finds out whether the transaction is there: `CommitFailed`;
- a full disk is none of these: SQLite has rolled the transaction back, and reads go on. But then it
  can neither delete nor checkpoint, so a reserve is kept (`sqlite/disk`). It helps only if the WAL
  is shorter: it is checkpointed at a quarter of the reserve's size, and long reads are cut before
  it is half as long (`sqlite/wal`).
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
)

from ledger.codec import leaf_of
from ledger.domain.disk_space import DiskSpace, DiskState, longest_wal
from ledger.domain.errors.store import (
    CommitFailed,
    StoreBusy,
    StoreFull,
    StoreUnfit,
    StoreUnreachable,
)
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.texts import unsaid_in
from ledger.domain.stamps import microseconds, moment_of
from ledger.store.errors import is_full, store_errors
from ledger.store.parameters import VALUES_MAX, among, sliced
from ledger.store.schema import SCHEMA_VERSION, TABLES, missing_views, statements
from ledger.store.seam import Batch, Conflict, Cursor, Guard, Projection
from ledger.store.sqlite.connections import (
    PAGE_BYTES,
    WAL_PAGES,
    long_reads,
    open_connection,
    sqlite_reader,
)
from ledger.store.sqlite.disk import Disk
from ledger.store.sqlite.long_reads import LongReads
from ledger.store.sqlite.wal import Wal
from ledger.store.tables import external_ids, leases, spent_ids, texts
from ledger.store.tables import idempotency_keys as claims
from ledger.store.tables.secrets import write_secret
from ledger.store.upgrade import upgrade
from ledger.store.whole_streams import beginnings

T = TypeVar("T")

VIEWS = Path(__file__).with_name("views.sql")
LOCK_PAUSE_S = 0.002
LOCK_TIMEOUT_S = 60
"""SQLite's lock is not fair: beside a busy writer, a second one may wait for seconds."""


def _begin_immediate(cursor: SQLiteCursor) -> None:
    """Take the writing lock; wait for another writer in Python, not inside SQLite.

    Raise `StoreBusy` in the end: nothing has failed.

    With SQLite's busy handler, two stores in one process hung until the time-out while the lock's
    holder stood still in Python code. The cause was not found; waiting here, it did not recur.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            if time.monotonic() > deadline:
                raise StoreBusy(f"SQLite: {error}") from error
            time.sleep(LOCK_PAUSE_S)
        else:
            return


class _Connection(SQLiteConnection):
    """The library's connection, with writing transactions that take the lock when they begin."""

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        cursor = self.cursor()
        if commit:
            _begin_immediate(cursor)
        else:
            cursor.execute("BEGIN")
        try:
            yield cursor
        except BaseException:
            self.rollback()
            raise
        if commit:
            self.commit()
        else:
            self.rollback()

    def commit(self) -> None:
        """Commit. Raise `CommitFailed` unless it is known that nothing was committed."""
        try:
            super().commit()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self.rollback()  # SQLite mostly has done so
            if is_full(error):
                raise  # nothing of it is on disk
            raise CommitFailed(f"SQLite, while committing: {error}") from error


class _ConnectionPool(SQLiteConnectionPool):
    """The library's pool, with our connections."""

    def __init__(self, file: Path, wal_pages: int) -> None:
        self._wal_pages = wal_pages
        super().__init__(db_name=str(file), pool_size=1, max_overflow=0)

    def _create_connection(self) -> SQLiteConnection:
        connection = open_connection(Path(self.db_name), writing=True, wal_pages=self._wal_pages)
        connection.row_factory = sqlite3.Row
        return _Connection(sqlite_conn=connection, max_age=self.max_age)


class Recorder(SQLiteApplicationRecorder):
    """The library's recorder over our table: positions, leaf hashes and leaf indexes."""

    def __init__(self, file: Path, wal_pages: int) -> None:
        datastore = SQLiteDatastore(":memory:", originator_id_type="text")
        datastore.pool.close()
        datastore.pool = _ConnectionPool(file, wal_pages)
        super().__init__(datastore)
        self.select_max_notification_id_statement = "SELECT max(position) FROM stored_events"

    def construct_create_table_statements(self) -> list[str]:
        return statements(TABLES)

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **_: Any
    ) -> Sequence[int]:
        position, leaves = head(_cursor_of(c))
        _require_new(_cursor_of(c), beginnings(stored_events))
        rows = [
            (
                position + number,
                leaves + number - 1,
                event.originator_id,
                event.originator_version,
                event.topic,
                event.state,
                leaf_of(event),
            )
            for number, event in enumerate(stored_events, start=1)
        ]
        c.executemany("INSERT INTO stored_events VALUES (?,?,?,?,?,?,?)", rows)
        c.execute("UPDATE leaf_count SET leaves = ?", (leaves + len(rows),))
        return range(position + 1, position + len(rows) + 1)


def head(cursor: Cursor) -> tuple[int, int]:
    """Return the highest position ever assigned, which outlives its event, and the leaf count."""
    cursor.execute(
        "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'stored_events'), 0),"
        " (SELECT leaves FROM leaf_count)"
    )
    position, leaves = cursor.fetchone()
    return position, leaves


class SqliteStore:
    """A `Store` in one file. One process writes; `append` and `exclusive` from one thread only.

    If another process has written all the same, that is a `Conflict`.
    """

    others: None = None
    away = False

    def __init__(
        self,
        file: Path,
        projection: Projection,
        *,
        reserve: int = 0,
        reads: LongReads | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Keep a reserve of at most so many bytes on the disk. Raise `StoreFailed`.

        `reads` are the long reads of this process. Tests give the `clock` by which a ledger of an
        earlier schema is upgraded.
        """
        self._file = file
        self._clock = clock
        self._projection = projection
        self._disk = _disk_of(file, reserve)
        folded = longest_wal(self._disk.reserve).folded
        reads = long_reads(file) if reads is None else reads
        reads.are_cut = True
        wal = Wal(file, self._disk.reserve, self._fold_wal, reads)
        self.disk = _DiskWithWal(self._disk, wal, self._fold_wal)
        try:
            with store_errors():
                self._recorder = Recorder(file, min(folded // PAGE_BYTES or WAL_PAGES, WAL_PAGES))
                self._bring_up_to_date()
            wal.keep_short()  # the last process may have left a long one; nobody reads yet
        except BaseException:
            self._disk.close()
            raise
        self._reader = sqlite_reader(file, reads)
        self.read, self.log = self._reader.read, self._reader.log

    def _bring_up_to_date(self) -> None:
        """Create what is missing; if nothing is, write nothing: there may be no room."""
        with self._recorder.datastore.transaction(commit=False) as c:
            c.execute("PRAGMA user_version")
            version = c.fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StoreUnfit(
                    f"{self._file} has schema {version}; this is schema {SCHEMA_VERSION}"
                )
            views = missing_views(VIEWS, lambda name: _is_there(c, name))
            if version == SCHEMA_VERSION:
                self._projection.create(_cursor_of(c))
        if version < SCHEMA_VERSION:
            with self._recorder.datastore.transaction(commit=True) as c:
                self._create(c, version, views)
        elif views:
            self._create_views(views)

    def _create(self, c: SQLiteCursor, version: int, views: Sequence[str]) -> None:
        for statement in self._recorder.create_table_statements:
            c.execute(statement)
        if 0 < version < SCHEMA_VERSION:
            self._upgrade(_cursor_of(c), version)
        for statement in views:
            c.execute(statement)
        self._projection.create(_cursor_of(c))
        c.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _create_views(self, views: Sequence[str]) -> None:
        """Create missing views; if there is no room for them, the next start does it."""
        with (
            suppress(StoreFull),
            store_errors(),
            self._recorder.datastore.transaction(commit=True) as c,
        ):
            for statement in views:
                c.execute(statement)

    def _fold_wal(self) -> bool:
        """Move the WAL into the file, and cut it off; return False if reads are in the way.

        If there is no room for all of it, some is in the file, and the room that was made is left.
        """
        with (
            suppress(StoreFull),
            store_errors(),
            self._recorder.datastore.get_connection(commit=True) as connection,
        ):
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return not cursor.fetchone()[0]
        return True

    def _upgrade(self, cursor: sqlite3.Cursor, version: int) -> None:
        _add_column(cursor, "leaf_count", "latest INTEGER NOT NULL DEFAULT 0")  # of schema 6
        _add_column(cursor, "spent_ids", "owner TEXT")  # of schema 8
        now = cursor.execute("SELECT strftime('%s', 'now') * 1000000").fetchone()[0]
        upgrade(cursor, version, moment_of(now) if self._clock is None else self._clock())

    def append(self, batch: Batch) -> int:
        with store_errors(), self._recorder.datastore.transaction(commit=True) as c:
            try:
                positions = self._recorder._insert_events(c, batch.events)  # noqa: SLF001 - ours
            except sqlite3.IntegrityError as error:
                raise Conflict(str(error)) from error
            if batch.stamps is not None:
                newest = microseconds(batch.stamps.newest)
                c.execute("UPDATE leaf_count SET latest = max(latest, ?)", (newest,))
            _raise_guards(c, batch.guards)
            cursor = _cursor_of(c)
            _require_unspent(cursor, batch.unspent)
            spent_ids.add(cursor, batch.spent)
            external_ids.drop(cursor, list(batch.spent))
            _take_external_ids(cursor, batch.external_ids)
            _record_claims(cursor, batch.claims)
            for secret in batch.secrets:
                write_secret(cursor, secret)
            texts.write(cursor, batch.texts)
            _change_leases(cursor, batch)
            self._projection.write(cursor, batch.puts, batch.drops)
            return positions[-1] if positions else head(cursor)[0]

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        with store_errors(), self._recorder.datastore.transaction(commit=True) as c:
            return work(_cursor_of(c))

    def close(self) -> None:
        self._disk.close()
        self._reader.close()
        self._recorder.datastore.close()


def _is_there(c: SQLiteCursor, name: str) -> bool:
    c.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
    return c.fetchone() is not None


class _DiskWithWal:
    """The `ledger.store.seam.Disk` of the file: the WAL takes room, too."""

    def __init__(self, disk: Disk, wal: Wal, fold_wal: Callable[[], bool]) -> None:
        self._disk = disk
        self._wal = wal
        self._fold_wal = fold_wal

    def look(self) -> DiskState:
        before = self._disk.state
        state = self._disk.look()
        if state is DiskState.FULL and before is not state:
            self._fold_wal()
        self._wal.keep_short()
        return state

    def space(self) -> DiskSpace:
        return DiskSpace(self._disk.state, self._disk.free_bytes())

    def give_up(self) -> bool:
        given_up = self._disk.give_up()
        if given_up:
            self._fold_wal()
        return given_up


def _disk_of(file: Path, reserve: int) -> Disk:
    try:
        return Disk(file.parent, reserve)
    except OSError as error:
        raise StoreUnreachable(f"cannot open {file}: {error}") from error


def _add_column(cursor: sqlite3.Cursor, table: str, column: str) -> None:
    """Add a column, unless it is there; SQLite has no statement for that."""
    name, _, _ = column.partition(" ")
    columns = cursor.execute(f"PRAGMA table_info({table})").fetchall()
    if name not in {each["name"] for each in columns}:
        cursor.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _cursor_of(c: SQLiteCursor) -> sqlite3.Cursor:
    return c.sqlite_cursor


def _require_new(cursor: sqlite3.Cursor, streams: Sequence[str]) -> None:
    """Raise `Conflict` if a stream that begins here has any events already, even a tail."""
    sql = "SELECT 1 FROM stored_events WHERE originator_id IN (...) LIMIT 1"
    if any(among(cursor, sql, streams)):
        raise Conflict("a stream that begins is there already")


def _raise_guards(c: SQLiteCursor, guards: Sequence[Guard]) -> None:
    """Raise each guard by one. A second batch that rests on the same version conflicts."""
    if not guards:
        return
    c.executemany(
        "INSERT INTO guards VALUES (?1, ?2 + 1)"
        " ON CONFLICT (uuid) DO UPDATE SET version = excluded.version WHERE version = ?2",
        guards,
    )
    if c.sqlite_cursor.rowcount != len(guards):
        raise Conflict("a decision rests on something that has changed")


def _require_unspent(cursor: sqlite3.Cursor, jobs: Sequence[str]) -> None:
    for some in sliced(jobs, VALUES_MAX):
        if not spent_ids.none_is_spent(cursor, some):
            raise Conflict("a job has been discarded")


def _change_leases(cursor: sqlite3.Cursor, batch: Batch) -> None:
    unsaid = unsaid_in(batch.texts)
    if not (batch.leases or batch.dues or unsaid):
        return
    assert batch.now is not None
    leases.be_there(cursor, microseconds(batch.now))
    if not leases.are_due(cursor, batch.dues):
        raise Conflict("somebody was heard whose lease was over")
    leases.apply(cursor, batch.leases)
    leases.drop_words(cursor, unsaid)


def _take_external_ids(cursor: sqlite3.Cursor, taken: Mapping[ExternalId, str]) -> None:
    try:
        external_ids.add(cursor, taken)
    except sqlite3.IntegrityError as error:
        raise Conflict("another job has taken the external id") from error


def _record_claims(cursor: sqlite3.Cursor, new: Sequence[RecordedClaim]) -> None:
    if new and not claims.record(cursor, new):
        raise Conflict("a request has been claimed by another process")
