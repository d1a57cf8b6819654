"""The SQLite store, against the suite for every store, and what only SQLite has."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from ledger.domain.errors.store import StoreBusy, StoreFailed
from ledger.store.engines import sqlite_engine
from ledger.store.schema import SCHEMA_VERSION
from ledger.store.sqlite.connections import long_reads, open_connection, sqlite_reader
from ledger.store.sqlite.store import SqliteStore
from ledger.store.tables import leases, sessions, tiles, tokens
from ledger.store.tables.stamps import newest_stamp
from projections.views.generations import InlineProjection
from tests.ledger.store.conformance import (
    OpenStore,
    StoreConformance,
    batch,
    event,
    read_stream,
    stamped,
)
from tests.support.opened import behind_its_back
from tests.support.world import START

THEN = "2026-01-02T03:04:05.000000+00:00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_a_reading_connection_keeps_little(file: Path) -> None:
    """It keeps what it has read: 8 MiB at the most, and 1 MiB for long reads, which are many."""
    with (
        closing(open_connection(file, writing=True)),
        closing(open_connection(file, writing=False)) as reader,
        long_reads(file).begin() as long,
    ):
        assert reader.execute("PRAGMA cache_size").fetchone() == (-8 * 1024,)
        assert long.execute("PRAGMA cache_size").fetchone() == (-1024,)


@pytest.fixture
def handles(file: Path) -> Iterator[Callable[[], SqliteStore]]:
    opened: list[SqliteStore] = []

    def open_one_more() -> SqliteStore:
        opened.append(SqliteStore(file, InlineProjection()))
        return opened[-1]

    yield open_one_more
    for store in opened:
        store.close()


@pytest.fixture
def store(handles: Callable[[], SqliteStore]) -> SqliteStore:
    return handles()


class TestSqliteStore(StoreConformance):
    """SQLite is the first of them."""

    @pytest.fixture
    def open_store(self, handles: OpenStore) -> OpenStore:
        return handles

    @pytest.fixture
    def projection(self) -> InlineProjection:
        return InlineProjection()


# What is SQLite's own


def pragma(store: SqliteStore, name: str) -> object:
    def ask(cursor: sqlite3.Cursor) -> object:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]

    return store.exclusive(ask)


@pytest.mark.parametrize(
    ("name", "value"),
    [("synchronous", 2), ("journal_mode", "wal"), ("auto_vacuum", 2)],
    ids=["synchronous=FULL", "WAL", "auto_vacuum=INCREMENTAL"],
)
def test_pragmas_are_in_force(store: SqliteStore, name: str, value: object) -> None:
    """On the very connection that writes: a pragma that comes too late is ignored in silence."""
    assert value == pragma(store, name)


@pytest.mark.parametrize(("name", "value"), [("journal_mode", "wal"), ("auto_vacuum", 2)])
def test_the_file_keeps_its_pragmas(
    store: SqliteStore, file: Path, name: str, value: object
) -> None:
    """Whichever program opens it."""
    with closing(sqlite3.connect(file)) as connection:
        assert (value,) == connection.execute(f"PRAGMA {name}").fetchone()


def test_nobody_else_may_read_a_new_ledger(handles: Callable[[], SqliteStore], file: Path) -> None:
    """Nor what SQLite puts beside it, whatever the directory and the process allow."""
    file.parent.chmod(0o755)
    umask = os.umask(0)
    try:
        handles().exclusive(lambda cursor: tokens.every(cursor, "nobody"))
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert modes == dict.fromkeys((file.name, f"{file.name}-wal", f"{file.name}-shm"), 0o600)


def test_a_writing_transaction_takes_the_lock_at_its_beginning(
    store: SqliteStore, file: Path
) -> None:
    """Before its first statement: a deferred one is refused whatever the time-out."""
    with closing(sqlite3.connect(file, timeout=0)) as rival:

        def work(cursor: sqlite3.Cursor) -> None:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                rival.execute("BEGIN IMMEDIATE")

        store.exclusive(work)
        rival.execute("BEGIN IMMEDIATE")


def test_a_reading_connection_cannot_write(store: SqliteStore, file: Path) -> None:
    """Whatever SQL it is given."""
    with (
        closing(open_connection(file, writing=False)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.execute("DELETE FROM stored_events")


def test_only_the_writing_connection_checkpoints(store: SqliteStore, file: Path) -> None:
    """A reader that closes last leaves the WAL: two that checkpoint at once can corrupt it."""
    store.append(batch(event("drive-a")))
    wal = file.with_name(f"{file.name}-wal")
    size = wal.stat().st_size
    with sqlite_reader(file).log() as log:
        assert log.count() == 1
    assert size == wal.stat().st_size > 0


def test_looking_at_the_engine_keeps_the_locks(store: SqliteStore, file: Path) -> None:
    """A service is looked at from inside; another process that closes the ledger leaves its WAL."""
    store.exclusive(lambda cursor: cursor.execute("CREATE TABLE held (one)"))
    with store.log() as log:
        assert sqlite_engine(log.cursor()).settings["journal_mode"] == "wal"
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "c.execute('SELECT count(*) FROM held').fetchall(); c.close()"
    )
    subprocess.run((sys.executable, "-c", program, str(file)), check=True)
    assert file.with_name(f"{file.name}-wal").exists()


def test_a_newer_schema_is_refused(store: SqliteStore, file: Path) -> None:
    """The versions of both are named, and the file stays as it is."""
    store.close()
    with behind_its_back(file) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreFailed, match=f"schema {SCHEMA_VERSION + 1}.*schema {SCHEMA_VERSION}$"):
        SqliteStore(file, InlineProjection())
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)


def test_an_older_schema_is_upgraded(store: SqliteStore, file: Path) -> None:
    """A ledger of schema 1 has no sessions, no tokens and no tree; opening it adds them."""
    store.append(batch(event("drive-a")))
    store.close()
    with behind_its_back(file) as connection:
        for table in ("sessions", "tokens", "leaf_tiles", "node_tiles", "moments", "checkpoints"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    later = SqliteStore(file, InlineProjection())
    try:
        assert pragma(later, "user_version") == SCHEMA_VERSION
        assert later.exclusive(lambda c: sessions.find(c, b"x")) is None
        assert later.exclusive(lambda c: tokens.every(c, None)) == []
        assert later.exclusive(tiles.extend) == 1
        assert len(read_stream(later, "drive-a")) == 1
    finally:
        later.close()


def test_stamps_of_schema_5_are_dated_when_it_is_opened(store: SqliteStore, file: Path) -> None:
    """It knew neither the newest stamp, nor that one may be wrong."""
    days = [0, 4, 0.001, 0.002, 0.003]
    store.append(batch(*stamped(day * 86400 for day in days)))
    store.close()
    with behind_its_back(file) as connection:
        connection.execute("ALTER TABLE leaf_count DROP COLUMN latest")
        connection.execute("DROP TABLE stamp_faults")
        connection.execute("PRAGMA user_version = 5")
    now = START + timedelta(days=1)
    later = SqliteStore(file, InlineProjection(), clock=lambda: now)
    try:
        newest = START + timedelta(days=0.003)
        assert later.read(newest_stamp) == newest
        assert later.read(lambda c: tiles.position_at(c, START + timedelta(days=0.0021))) == 4
        assert later.read(lambda c: tiles.position_at(c, newest)) == 5
    finally:
        later.close()


def test_tokens_of_schema_7_may_do_whatever_they_could(store: SqliteStore, file: Path) -> None:
    """Without that, a token is refused."""
    store.close()
    with behind_its_back(file) as connection:
        connection.execute("INSERT INTO tokens VALUES ('t', x'03', 'account', 'name', ?)", [THEN])
        connection.execute("DROP TABLE token_grants")
        connection.execute("PRAGMA user_version = 7")
    later = SqliteStore(file, InlineProjection())
    try:
        found = later.read(lambda c: tokens.by_hash(c, b"\x03"))
        assert found is not None
        assert (found.scopes, found.restrictors, found.expires) == (None, (), None)
        later.exclusive(lambda c: c.execute("DELETE FROM token_grants"))
        assert later.read(lambda c: tokens.by_hash(c, b"\x03")) is None
    finally:
        later.close()


def test_rows_of_another_shape_are_refused(store: SqliteStore, file: Path) -> None:
    """They must be rebuilt, not read."""
    store.close()
    with behind_its_back(file) as connection:
        connection.execute("UPDATE projection_head SET shape = shape + 1")
    with pytest.raises(StoreFailed, match="version"):
        SqliteStore(file, InlineProjection())


def test_a_file_that_is_not_a_database_is_refused(file: Path) -> None:
    """By our own error, and it is not overwritten."""
    file.write_bytes(b"something else entirely " * 100)
    with pytest.raises(StoreFailed):
        SqliteStore(file, InlineProjection())
    assert file.read_bytes().startswith(b"something else")


def test_a_missing_ledger_cannot_be_read(file: Path) -> None:
    """Reading makes no file."""
    with pytest.raises(StoreFailed), sqlite_reader(file).log():
        pass
    assert not file.exists()


def test_a_lock_held_by_somebody_else_fails_in_time(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process that writes for longer than the time-out: nothing was done or has failed."""
    monkeypatch.setattr("ledger.store.sqlite.store.LOCK_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as rival:
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked"):
            store.append(batch(event("drive-a")))


def test_a_ledger_of_schema_7_gets_leases(store: SqliteStore, file: Path) -> None:
    """It had no place for what is expected of jobs of producers."""
    store.close()
    with behind_its_back(file) as connection:
        connection.execute("DROP TABLE leases")
        connection.execute("DROP TABLE service_time")
        connection.execute("PRAGMA user_version = 7")
    later = SqliteStore(file, InlineProjection())
    try:
        assert not later.read(leases.some_are_there)
        assert later.read(leases.service_now) == 0
    finally:
        later.close()
