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
  is shorter: it is checkpointed at a quarter of the reserve's size.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
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
from ledger.domain.disk_space import DiskSpace, DiskState
from ledger.domain.errors import CommitFailed, StoreBusy, StoreFailed, StoreFull, StoreUnreachable
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.stamps import microseconds, moment_of
from ledger.images.files import is_read_only
from ledger.store.errors import is_full, store_errors
from ledger.store.parameters import among
from ledger.store.readers import Reader
from ledger.store.schema import SCHEMA_VERSION, TABLES, statements
from ledger.store.seam import Batch, Conflict, Cursor, Guard, Projection
from ledger.store.sqlite.disk import Disk
from ledger.store.tables import idempotency_keys as claims
from ledger.store.tables.secrets import write_secret
from ledger.store.upgrade import upgrade
from ledger.store.whole_streams import beginnings

T = TypeVar("T")

OPENING_S = 5
BUSY_MS = 50
LOCK_PAUSE_S = 0.002
LOCK_TIMEOUT_S = 60
"""SQLite's lock is not fair: beside a busy writer, a second one may wait for seconds."""
FILE_MODE = 0o600
PAGE_BYTES = 4_096
WAL_PAGES = 8_192
"""The WAL is checkpointed at 32 MiB: hot pages are copied back once for many commits."""


def open_connection(file: Path, *, writing: bool, wal_pages: int = WAL_PAGES) -> sqlite3.Connection:
    """Open the ledger's file in autocommit mode; a reading connection can change nothing.

    A writing one checkpoints the WAL at `wal_pages`. Raises `StoreUnreachable` if the file cannot
    be opened.
    """
    try:
        return _open_writer(file, wal_pages) if writing else _open_reader(file)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnreachable(f"cannot open {file}: {error}") from error


def _open_writer(file: Path, wal_pages: int) -> sqlite3.Connection:
    _create_private(file)
    pragmas = (
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        f"wal_autocheckpoint={wal_pages}",
        f"journal_size_limit={wal_pages * PAGE_BYTES}",
        f"busy_timeout={BUSY_MS}",
    )
    return _open(file, "mode=rwc", pragmas)


def _open_reader(file: Path) -> sqlite3.Connection:
    """Open the file to read, also on a read-only file system.

    There SQLite reads the WAL if its index (`-shm`) is there too, which it cannot make. With
    `immutable` it needs none, but ignores the WAL: so that is only for files without one.
    """
    try:
        return _open(file, "mode=ro", ("query_only=ON",))
    except sqlite3.OperationalError:
        if not is_read_only(file):
            raise
        wal = file.with_name(f"{file.name}-wal")
        if wal.exists() and wal.stat().st_size:
            raise StoreUnreachable(
                f"cannot open {file}: the newest commits are in {wal.name}, which cannot be read on"
                f" a read-only file system without {file.name}-shm; copy the whole directory to"
                " where it can be written"
            ) from None
        return _open(file, "mode=ro&immutable=1", ("query_only=ON",))


def _open(file: Path, options: str, pragmas: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?{options}",
        uri=True,
        check_same_thread=False,
        isolation_level=None,
        timeout=OPENING_S,
        cached_statements=512,
    )
    try:
        for pragma in (*pragmas, "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _create_private(file: Path) -> None:
    """Create a ledger that nobody else may read; SQLite's other files get the same mode.

    A file that exists is not touched: closing it would end this process's locks on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def sqlite_reader(file: Path) -> Reader:
    """Return a reader of this file, which does not create it."""
    return Reader(lambda: open_connection(file, writing=False), "BEGIN")


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

    def __init__(self, file: Path, wal_pages: int = WAL_PAGES) -> None:
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
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Keep a reserve of at most so many bytes on the disk. Raise `StoreFailed`.

        Tests give a `clock` that counts when a ledger of an earlier schema is opened.
        """
        self._file = file
        self._clock = clock
        self._projection = projection
        self._disk = _disk_of(file, reserve)
        wal_pages = min(self._disk.reserve // 4 // PAGE_BYTES or WAL_PAGES, WAL_PAGES)
        with store_errors():
            self._recorder = Recorder(file, wal_pages)
            with self._recorder.datastore.transaction(commit=True) as c:
                self._create(c)
        self._reader = sqlite_reader(file)
        self.read, self.log = self._reader.read, self._reader.log

    def _create(self, c: SQLiteCursor) -> None:
        c.execute("PRAGMA user_version")
        version = c.fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreFailed(f"{self._file} has schema {version}; this is schema {SCHEMA_VERSION}")
        for statement in self._recorder.create_table_statements:
            c.execute(statement)
        if 0 < version < SCHEMA_VERSION:
            self._upgrade(_cursor_of(c), version)
        self._projection.create(_cursor_of(c))
        if version != SCHEMA_VERSION:  # or each start would need room
            c.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def disk_state(self) -> DiskState:
        before = self._disk.state
        state = self._disk.look()
        if state is DiskState.FULL and before is not state:
            self._fold_wal()
        return state

    def disk_space(self) -> DiskSpace:
        return DiskSpace(self._disk.state, self._disk.free_bytes())

    def give_up_reserve(self) -> bool:
        given_up = self._disk.give_up()
        if given_up:
            self._fold_wal()
        return given_up

    def stop_waiting(self) -> None:
        """Do nothing: a file is never away."""

    def _fold_wal(self) -> None:
        """Move as much of the WAL into the file as readers allow, and shorten it if that is all."""
        with (
            suppress(StoreFull),  # some of it is in the file, and the reserve's room is left
            store_errors(),
            self._recorder.datastore.get_connection(commit=True) as connection,
        ):
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _upgrade(self, cursor: sqlite3.Cursor, version: int) -> None:
        _add_latest(cursor)
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
            _record_claims(cursor, batch.claims)
            for secret in batch.secrets:
                write_secret(cursor, secret)
            self._projection.write(cursor, batch.puts, batch.drops)
            return positions[-1] if positions else head(cursor)[0]

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        with store_errors(), self._recorder.datastore.transaction(commit=True) as c:
            return work(_cursor_of(c))

    def close(self) -> None:
        self._reader.close()
        self._recorder.datastore.close()


def _disk_of(file: Path, reserve: int) -> Disk:
    try:
        return Disk(file.parent, reserve)
    except OSError as error:
        raise StoreUnreachable(f"cannot open {file}: {error}") from error


def fold_wal(file: Path) -> None:
    """Move the WAL into the file, durably; no other process may write to it.

    Raises `StoreFailed`, also if another process is reading the WAL.
    """
    with store_errors():
        connection = open_connection(file, writing=True)
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.close()
    if busy:
        raise StoreFailed(f"another process reads {file}")


def _add_latest(cursor: sqlite3.Cursor) -> None:
    """Add the column of schema 6; SQLite has no statement that adds only a missing one."""
    columns = cursor.execute("PRAGMA table_info(leaf_count)").fetchall()
    if "latest" not in {column["name"] for column in columns}:
        cursor.execute("ALTER TABLE leaf_count ADD COLUMN latest INTEGER NOT NULL DEFAULT 0")


def _cursor_of(c: SQLiteCursor) -> sqlite3.Cursor:
    return c.sqlite_cursor


def _require_new(cursor: sqlite3.Cursor, streams: Sequence[str]) -> None:
    """Raise `Conflict` if anything is there of a stream that begins, be it a tail."""
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


def _record_claims(cursor: sqlite3.Cursor, new: Sequence[RecordedClaim]) -> None:
    if new and not claims.record(cursor, new):
        raise Conflict("a request has been claimed by another process")
