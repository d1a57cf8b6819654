"""Moving a ledger from SQLite to PostgreSQL: all or nothing, and unchanged."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from click.testing import CliRunner, Result

from api.cli import cli
from api.data.directory import DataInUse, DataUnusable, data_lock
from api.data.location import (
    LEDGER_FILE,
    MOVED_FILE,
    MOVING_FILE,
    STORE_FILE,
    PostgresDatabase,
    SqliteDatabase,
    database_of,
)
from ledger.domain.commands.drives import CloneDrive
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.errors.store import StoreFailed, StoreUnfit
from ledger.store import migrate as tables
from ledger.store.migrate import NotMoved
from ledger.store.postgres import connections
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres.store import PostgresStore
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.migrate import Report
from projections.views.postgres_writer import PostgresProjection
from tests.backup.backups import Ledger, archived
from tests.commands.cli.processes import Serving, run
from tests.postgres.migration.moves import (
    in_postgres,
    make,
    moved,
    rows_in_postgres,
    rows_in_sqlite,
    told,
    verified,
)
from tests.retention.conftest import Clock
from tests.support.opened import behind_its_back
from tests.support.postgres import PostgresServer, end_connections
from tests.support.processes import ROOT, environment
from tests.support.world import ME


class Made(NamedTuple):
    data: Path
    clock: Clock


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    data = tmp_path_factory.mktemp("made") / "data"
    return Made(data, make(data))


@pytest.fixture
def data(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.data, tmp_path / "data"))


@pytest.fixture
def clock(made: Made) -> Clock:
    clock = Clock()
    clock.now = made.clock.now
    return clock


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 5)


def is_moved(data: Path, url: str) -> bool:
    database = database_of(data, None)
    left = {name for name in (LEDGER_FILE, MOVED_FILE, MOVING_FILE) if (data / name).exists()}
    return isinstance(database, PostgresDatabase) and database.url == url and left == {MOVED_FILE}


def counts_in_sqlite(data: Path, url: str) -> bool:
    """Whether the ledger is where it was, and nobody can take the copy for it."""
    with pytest.raises(StoreFailed, match="being moved"):
        PostgresStore(url, PostgresProjection())
    return isinstance(database_of(data, None), SqliteDatabase)


# What is there afterwards


def test_a_moved_ledger_is_unchanged(data: Path, clock: Clock, database: str) -> None:
    """Whatever is asked of it, with its archives and without; a checkpoint that was kept, too."""
    with Ledger(data, clock) as ledger:
        before = told(ledger)
        note = ledger.signer.sign(ledger.checkpoint().text())
    assert before["replay"].divergence is before["replay with archives"].divergence is None
    rows = rows_in_sqlite(data / LEDGER_FILE)
    empty = [table.here for table in tables.copied_tables() if not rows[table.here]]
    assert not empty, "each table has a row"

    result = moved(data, database)

    assert result is not None
    assert (result.events, result.leaves, result.position) == before["counts"]
    assert result.events < result.leaves
    assert is_moved(data, database)
    assert rows_in_postgres(database) == rows
    with in_postgres(database, data, clock) as opened:
        assert told(opened) == before
        found = verified(opened, ledger, note)
        assert (found.intact, found.unchecked) == (True, 0)
        rebuilt = opened.rebuild()
        assert rebuilt.before == rebuilt.after


def test_new_events_continue_the_moved_ones(data: Path, clock: Clock, database: str) -> None:
    """At a position above all that were ever given, those of events that are gone as well."""
    with Ledger(data, clock) as ledger, ledger.ledger.log() as log:
        leaves = log.leaf_count()
        note = ledger.signer.sign(ledger.checkpoint().text())
    with behind_its_back(data / LEDGER_FILE) as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = 5000")
    moved(data, database)
    with in_postgres(database, data, clock) as opened:
        assert opened.do(CreateJob(ME, "after", "x")) == 5001
        opened.do(CloneDrive(ME, "a", "a9", "clone-after", name="a9"))
        with opened.ledger.log() as log:
            assert next(log.events(5000)).leaf_index == leaves
        archived(opened, clock, "another")
        assert opened.replay().divergence is None
        assert opened.replay(opened.archives).divergence is None
        assert verified(opened, ledger, note).intact


def test_the_wal_is_moved_and_kept(data: Path, clock: Clock, database: str) -> None:
    """As a service that was killed leaves it."""
    with Ledger(data, clock) as ledger:
        position = ledger.do(CreateJob(ME, "just now", "x"))
        killed = Path(shutil.copytree(data, data.with_name("killed")))
    assert (killed / f"{LEDGER_FILE}-wal").stat().st_size
    result = moved(killed, database)
    assert result is not None
    assert result.position == position
    assert not list(killed.glob(f"{LEDGER_FILE}-*"))
    with sqlite_reader(killed / MOVED_FILE).log() as log:
        assert log.last_position() == position


# Interrupted, and begun anew


def test_a_lost_connection(data: Path, clock: Clock, database: str, in_small_steps: None) -> None:
    """The move fails, the ledger can be used where it was, and the next attempt succeeds."""
    with Ledger(data, clock) as ledger:
        before = told(ledger)
    steps: list[tuple[str, int]] = []
    at = [("comparing", 5), ("copying", 30), ("copying", 1)]

    @contextmanager
    def seen(doing: str, what: str) -> Iterator[Report]:
        yield lambda done, total: steps.append((doing, done))

    @contextmanager
    def cut(doing: str, what: str) -> Iterator[Report]:
        def report(done: int, total: int) -> None:
            steps.append((doing, done))
            if [(doing, [step for step, _ in steps].count(doing))] == at[-1:]:
                at.pop()
                end_connections(database)

        yield report

    while at:
        steps.clear()
        with pytest.raises(StoreFailed):
            moved(data, database, cut)
        assert counts_in_sqlite(data, database)
    assert {doing for doing, _ in steps} >= {"copying", "comparing"}
    moved(data, database, seen)
    assert is_moved(data, database)
    with in_postgres(database, data, clock) as opened:
        assert told(opened) == before


def test_the_next_attempt_starts_anew(data: Path, database: str, in_small_steps: None) -> None:
    """Rows that an earlier attempt left are written again, and none is left over."""

    @contextmanager
    def broken_off(doing: str, what: str) -> Iterator[Report]:
        def report(done: int, total: int) -> None:
            if done > total // 2:
                raise KeyboardInterrupt

        yield report

    with pytest.raises(KeyboardInterrupt):
        moved(data, database, broken_off)
    before = _writers(database)
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO personal_fields VALUES ('nobody', 'left', 'over')")
    moved(data, database)
    assert before
    assert not before & _writers(database)
    assert rows_in_postgres(database) == rows_in_sqlite(data / MOVED_FILE)


def _writers(database: str) -> set[str]:
    """The transactions that wrote the events."""
    with psycopg.connect(database) as connection:
        return {xmin for (xmin,) in connection.execute("SELECT xmin::text FROM stored_events")}


def test_a_ledger_that_was_used_meanwhile(
    data: Path, clock: Clock, database: str, in_small_steps: None
) -> None:
    """Some copied rows are deleted by then, some changed, some new."""

    @contextmanager
    def broken_off(doing: str, what: str) -> Iterator[Report]:
        yield lambda done, total: None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moved(data, database, broken_off)
    with Ledger(data, clock) as ledger:
        archived(ledger, clock, "meanwhile")
        ledger.rebuild()
        with behind_its_back(data / LEDGER_FILE) as connection:
            connection.execute("DELETE FROM tokens")
            connection.execute("UPDATE accounts SET uuid = 'a'")
            connection.execute("DELETE FROM server_secrets WHERE server = 's'")
        before = told(ledger)
    moved(data, database)
    with in_postgres(database, data, clock) as opened:
        assert told(opened) == before
    rows = rows_in_postgres(database)
    assert rows["tokens"] == []
    assert [uuid for uuid, *_ in rows["accounts"]] == ["a"]


def test_killed_at_any_step(
    data: Path, postgres: PostgresServer, request: pytest.FixtureRequest
) -> None:
    """Half of it is never taken for the ledger, and the next attempt finishes the move."""
    stride = 1 if request.config.getoption("--long") else 60
    command = (
        sys.executable,
        "-m",
        "tests.postgres.migration.killing",
        data,
        postgres.directory,
        str(stride),
    )
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    steps, calls = map(int, done.stdout.split())
    assert steps > 100
    assert calls > 10


# Found by the verification

NEWEST = "WHERE position = (SELECT max(position) FROM stored_events)"
COPIED = (
    f"UPDATE stored_events SET state = set_byte(state, 20, get_byte(state, 20) # 1) {NEWEST}",
    f"UPDATE stored_events SET position = position + 1 {NEWEST}",
    f"DELETE FROM stored_events {NEWEST}",
    "UPDATE accounts SET role = 'operator'",
    "INSERT INTO tokens SELECT id || '2', token_hash || 'x', account, name, created FROM tokens",
    "DELETE FROM guards WHERE uuid = (SELECT max(uuid) FROM guards)",
    "UPDATE jobs_g1 SET progress = progress + 1 WHERE uuid = 'last'",
    "UPDATE clock_watch SET boot = 'another'",
    "UPDATE leaf_count SET position = position - 1",
)
HASHED = (
    f"UPDATE stored_events SET state = set_byte(state, 20, get_byte(state, 20) # 1) {NEWEST}",
    "UPDATE node_tiles SET nodes = set_byte(nodes, 0, get_byte(nodes, 0) # 1)",
    "UPDATE leaf_count SET leaves = leaves - 1",
)


@pytest.mark.parametrize(
    ("stage", "changes"), [("comparing", COPIED), ("verifying", HASHED)], ids=["rows", "hashes"]
)
def test_a_changed_copy_is_refused(
    data: Path, database: str, stage: str, changes: tuple[str, ...]
) -> None:
    """A byte is enough. The next attempt mends it."""
    left = list(changes)

    @contextmanager
    def tampering(doing: str, what: str) -> Iterator[Report]:
        if doing == stage:
            with psycopg.connect(database) as connection:
                assert connection.execute(left.pop()).rowcount == 1
        yield lambda done, total: None

    while left:
        with pytest.raises(NotMoved):
            moved(data, database, tampering)
        assert counts_in_sqlite(data, database)
    moved(data, database)
    assert is_moved(data, database)


def test_a_damaged_ledger_is_not_moved(data: Path, database: str) -> None:
    """What is wrong with it is named; in its new place nobody could tell since when."""
    with behind_its_back(data / LEDGER_FILE) as connection:
        connection.execute("UPDATE stored_events SET state = CAST(state || ' ' AS BLOB)")
    with pytest.raises(NotMoved, match=r"not intact: .*its leaf hash is not that of its bytes"):
        moved(data, database)
    assert counts_in_sqlite(data, database)


# Refused


def test_a_server_that_is_too_old_gets_no_ledger(
    data: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No service could open it there."""
    with monkeypatch.context() as patch:
        patch.setattr(connections, "VERSION_LEAST", 99_00_00)
        with pytest.raises(StoreUnfit, match="needs PostgreSQL 99 or later"):
            moved(data, database)
    assert isinstance(database_of(data, None), SqliteDatabase)


def refused(data: Path, url: str, reason: str) -> None:
    """And nothing has changed, here or there."""
    rows = rows_in_sqlite(data / LEDGER_FILE)
    there = counted(url)
    with pytest.raises(NotMoved, match=reason):
        moved(data, url)
    assert rows_in_sqlite(data / LEDGER_FILE) == rows
    assert counted(url) == there
    assert not (data / STORE_FILE).exists()


def counted(url: str) -> list[tuple[str, int]]:
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        ).fetchall()
        return [
            (name, connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])
            for (name,) in names
        ]


def test_a_database_with_a_ledger(data: Path, database: str) -> None:
    PostgresStore(database, PostgresProjection()).close()
    refused(data, database, "holds a ledger already")


def test_a_database_that_is_not_empty(data: Path, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE cookbook (recipe text)")
    refused(data, database, "must be empty")


def test_a_database_with_the_unfinished_copy_of_another_ledger(
    made: Made, data: Path, database: str, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(made.data, tmp_path / "other"))

    @contextmanager
    def broken_off(doing: str, what: str) -> Iterator[Report]:
        yield lambda done, total: None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moved(other, database, broken_off)
    refused(data, database, "unfinished copy of another ledger")


def test_a_database_in_use(data: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pg_locks, "LOCK_WAIT", "10ms")
    store = PostgresStore(database, PostgresProjection())
    with pytest.raises(StoreFailed, match="a process uses a ledger in this database"):
        moved(data, database)
    store.close()


def test_a_directory_in_use(data: Path, database: str) -> None:
    with data_lock(data), pytest.raises(DataInUse):
        moved(data, database)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE projection_head SET shape = 2", "earlier version: start the service once"),
        ("PRAGMA user_version = 2", "earlier version: start the service once"),
        ("PRAGMA user_version = 99", "has schema 99"),
        ("UPDATE sqlite_sequence SET seq = 1", "beyond the ledger's end"),
        ("UPDATE leaf_count SET leaves = 1", "beyond the ledger's end"),
    ],
)
def test_a_ledger_that_cannot_be_moved(
    data: Path, database: str, statement: str, reason: str
) -> None:
    with behind_its_back(data / LEDGER_FILE) as connection:
        connection.execute(statement)
    refused(data, database, reason)


def test_a_directory_without_a_ledger(tmp_path: Path, database: str) -> None:
    """It is not made."""
    with pytest.raises(NotMoved, match="there is no ledger"):
        moved(tmp_path / "nowhere", database)
    assert not (tmp_path / "nowhere").exists()


def test_an_earlier_move_is_not_replaced(data: Path, database: str) -> None:
    (data / MOVED_FILE).write_text("of another time")
    refused(data, database, "is in the way")
    assert (data / MOVED_FILE).read_text() == "of another time"


def test_a_moved_ledger_is_not_moved_again(
    data: Path, postgres: PostgresServer, database: str
) -> None:
    """The old ledger is neither moved again nor opened."""
    moved(data, database)
    with pytest.raises(NotMoved, match="is in PostgreSQL already"):
        moved(data, postgres.new_database())
    (data / STORE_FILE).unlink()
    with pytest.raises(DataUnusable, match="was moved"):
        database_of(data, None)
    assert database_of(data, database).address == database


def test_two_ledgers_in_one_directory(data: Path, database: str) -> None:
    """Which of them counts, nobody can know."""
    moved(data, database)
    shutil.copy(data / MOVED_FILE, data / LEDGER_FILE)
    with pytest.raises(DataUnusable, match="has a ledger in SQLite"):
        database_of(data, None)


# The command


def invoked(*arguments: object) -> Result:
    """A command, in this process."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command(tmp_path: Path, database: str) -> None:
    """Says what it has done; the service then serves from there, and nothing else is begun here."""
    data = tmp_path / "data"
    add = ("account", "add", "a@b.test", "--password-stdin", "--data", data)
    assert run(*add, stdin=b"kettle-42\n").code == 0
    refusal = invoked("move", "--to", "mysql://x", "--data", data)
    assert refusal.exit_code == 2
    assert "Invalid value for --to" in refusal.output
    serving = Serving(data)
    try:
        busy = invoked("move", "--to", database, "--data", data)
        assert busy.exit_code == 1
        assert "is in use by job-ledger process" in busy.output
        assert serving.stop() == 0
    finally:
        serving.end()

    answer = run("move", "--to", database, "--data", data)

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(
        "moved 0 events and everything that belongs to them, up to position 0\n"
    )
    assert answer.out.endswith(f"kept as {data}/{MOVED_FILE}, and is no longer used\n")
    again = invoked("move", "--to", database, "--data", data)
    assert again.output == f"Error: the ledger of {data} is in PostgreSQL already\n"
    restore = invoked("restore", tmp_path / "backup", "--data", data)
    assert restore.output == f"Error: the ledger of {data} is in PostgreSQL\n"
    serving = Serving(data)
    try:
        assert serving.get("/api/2.0/jobs/", "a@b.test", "kettle-42") == 200
        assert not (data / LEDGER_FILE).exists()
        assert serving.stop() == 0
    finally:
        serving.end()
