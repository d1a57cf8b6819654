"""A server that restarts, or ends connections: nothing is lost, nothing is done twice."""

from pathlib import Path
from threading import Thread
from time import sleep

import psycopg
import pytest

from ledger.commands import CreateJob, StartAttempt, UpdateProgress
from ledger.events import job_stream
from ledger.job import Job
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.world import ME

UPDATES = 300
PAUSE_S = 0.02
"""Between two interferences: on a busy machine nothing would ever be done without."""


def end_connections(database: str) -> int:
    """Ends all connections to this database, as an administrator may; how many there were."""
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def opened(database: str, tmp_path: Path):
    with in_postgres(database)(tmp_path / "none") as opened:
        yield opened


def test_an_idle_ledger_goes_on(opened: Opened, database: str) -> None:
    """Writing and reading, over connections that were lost meanwhile."""
    opened.do(CreateJob(ME, "before", "x"))
    assert end_connections(database) >= 2
    opened.do(CreateJob(ME, "after", "x"))
    end_connections(database)
    assert opened.ledger.exclusive(
        lambda cursor: cursor.execute("SELECT 7").fetchone()
    ).result() == (7,)
    for _ in range(2):
        assert opened.ledger.read(lambda cursor: cursor.execute("SELECT 7").fetchone()) == (7,)
        end_connections(database)
    with opened.snapshot() as snapshot:
        assert snapshot.count_jobs(ME, None) == 2
    assert opened.failures == []
    assert opened.replay().divergence is None


def test_what_is_written_meanwhile_is_written_once(opened: Opened, database: str) -> None:
    """Each update is acknowledged, is there, and is there once, however often connections end."""
    opened.do(CreateJob(ME, "job", "x"), StartAttempt("job", 1, "w"))
    ended: list[int] = []
    stop = False

    def interfere() -> None:
        while not stop:
            ended.append(end_connections(database))
            sleep(PAUSE_S)

    interfering = Thread(target=interfere)
    interfering.start()
    try:
        for done in range(1, UPDATES + 1):
            opened.do(UpdateProgress("job", 1, done * 99 // UPDATES, done, UPDATES, done))
    finally:
        stop = True
        interfering.join()
    assert sum(ended) > 20
    job = opened.current(job_stream("job"))
    assert isinstance(job, Job)
    assert job.bytes_done == UPDATES
    with opened.ledger.log() as log:
        assert log.count() == 2 + UPDATES
    assert opened.failures == []
    assert opened.replay().divergence is None
