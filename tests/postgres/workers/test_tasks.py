"""Tasks in the database: committed together with the events that they follow from."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.context import PoolSpace
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events.jobs import job_stream
from ledger.store.postgres import pool_registry as pools
from ledger.store.postgres import task_queue as tasks
from ledger.store.postgres.connections import connected
from ledger.store.postgres.store import PostgresStore
from projections.views.postgres_writer import PostgresProjection
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.world import ME, disk

CLONE = CloneDrive(ME, "source", "copy", "job")


@pytest.fixture
def opened(database: str, tmp_path: Path) -> Iterator[Opened]:
    """With a drive that can be cloned, and no tasks."""
    with in_postgres(database) as opened:
        new = CreateDrives(ME, (NewDrive("source", disk(), "fast"),), "upload")
        opened.do(new, MarkDriveReady("source"))
        yield opened


def run(url: str, *statements: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        cursor = connection.execute(statements[-1])
        return cursor.fetchall() if cursor.description else []


def waiting(url: str) -> list[Any]:
    return run(
        url,
        "SELECT queue_name, task_name, args, status::text FROM procrastinate_jobs ORDER BY id",
    )


def test_tasks_wait_in_the_queues_of_their_pools(opened: Opened, database: str) -> None:
    """In the order of the events that they follow from."""
    opened.do(CLONE)
    opened.do(CloneDrive(ME, "source", "other", "job2", storage_type="zadara"))
    opened.do(CloneDrive(ME, "source", "third", "job3"))
    about = {"source_pool": "fast"}
    assert waiting(database) == [
        ("fast", "CopyImage", {**about, "job": "job", "pool": "fast"}, "todo"),
        ("fast>slow", "CopyImage", {**about, "job": "job2", "pool": "slow"}, "todo"),
        ("fast", "CopyImage", {**about, "job": "job3", "pool": "fast"}, "todo"),
    ]


@pytest.mark.parametrize("table", ["procrastinate_jobs", "stored_events"])
def test_an_event_and_its_task_are_committed_together(
    opened: Opened, database: str, table: str
) -> None:
    """If one of them cannot be written, the other is not there either."""
    run(
        database,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room'; END $$",
        f"CREATE TRIGGER failing AFTER INSERT ON {table} EXECUTE FUNCTION fail()",
    )
    with pytest.raises(StoreFailed, match="no room"):
        opened.do(CLONE)
    assert waiting(database) == []
    with opened.ledger.log() as log:
        assert log.stream(job_stream("job")) == []
    assert len(opened.failures) == 1


def test_a_refused_command_leaves_no_task(opened: Opened, database: str) -> None:
    """Not even beside others in the same batch."""
    with pytest.raises(Exception, match="no drive"):
        opened.do(CloneDrive(ME, "nowhere", "copy", "job"))
    assert waiting(database) == []


def test_a_batch_of_unknown_outcome_has_its_tasks_once(
    opened: Opened, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is seen from the events whether it was committed; the tasks came with them."""
    assert isinstance(opened.store, PostgresStore)
    append = opened.store._append

    def cut(batch: Any) -> int:
        monkeypatch.setattr(opened.store, "_append", append)
        append(batch)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(opened.store, "_append", cut)
    opened.do(CLONE)
    assert len(waiting(database)) == 1


def test_several_processes_start_at_once(database: str) -> None:
    """One makes what is missing, the others find it."""

    def start(_: int) -> None:
        PostgresStore(database, PostgresProjection()).close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(start, range(8)))
    assert run(database, "SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    names = [name for (name,) in run(database, "SELECT name FROM task_migrations ORDER BY 1")]
    assert names == sorted(path.name for path in tasks.migrations_path.glob("*.sql"))


def test_later_scripts_are_run_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of Procrastinate that has more of them brings the tables up to date."""
    PostgresStore(database, PostgresProjection()).close()
    for path in tasks.migrations_path.glob("*.sql"):
        (tmp_path / path.name).write_text("SELECT 1 / 0")
    (tmp_path / "99.00.00_01_more.sql").write_text(
        "CREATE TABLE more (said text); INSERT INTO more VALUES ('100%, or ? more');"
    )
    monkeypatch.setattr(tasks, "migrations_path", tmp_path)
    for _ in range(2):
        PostgresStore(database, PostgresProjection()).close()
    assert run(database, "SELECT said FROM more") == [("100%, or ? more",)]


def test_the_registry_of_workers_pools(opened: Opened, database: str) -> None:
    """As they last reported; workers that were not seen for long do not count."""
    ours, theirs = PoolSpace("a", "ssd", 7, here=False), PoolSpace("b", "dssd", 8, here=False)
    with connected(database) as connection:
        pools.report_pools(connection, "one", [ours, theirs])
        pools.report_pools(connection, "two", [theirs._replace(free_bytes=1)])
        pools.report_pools(connection, "two", [theirs._replace(free_bytes=9)])
        pools.report_pools(connection, "three", [])
        run(database, "UPDATE pools SET seen = seen - interval '2 hours' WHERE pool = 'a'")
        assert pools.recent_pools(connection.cursor(), timedelta(hours=1)) == [
            pools.WorkerPool("one", theirs),
            pools.WorkerPool("two", theirs._replace(free_bytes=9)),
        ]
        run(database, "UPDATE pools SET seen = seen - interval '2 days'")
        pools.report_pools(connection, "three", [])
    assert run(database, "SELECT * FROM pools") == []
