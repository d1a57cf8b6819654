"""Workers that die, are paused or stop: nothing is done twice, and nothing is lost."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from ledger.domain.commands.jobs import CancelJob
from ledger.domain.events.jobs import (
    JobAttemptLost,
    JobAttemptStarted,
    JobSucceeded,
    ProgressUpdated,
)
from ledger.images.pools import Pool
from tests.postgres.workers.fleet import MIB, Fleet, Worker, fleet_on
from tests.support.postgres import away, end_connections
from tests.support.wait import wait_for

AT_ONCE = 5
LARGE = 12 * MIB
SLOWLY = ("--copy-rate=512K", f"--copies-per-pool={AT_ONCE + 1}")
"""All copies of something large together would take two minutes; none is waited for."""
PATIENTLY_S = 8
"""No worker is silent for so long unless the database is away."""


@pytest.fixture
def fleet(database: str, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_on(database, tmp_path, Pool("main", tmp_path / "main")) as fleet:
        yield fleet


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return 10 if request.config.getoption("--long") else 1


class Copies(NamedTuple):
    """Clones of one drive, by the jobs that make them."""

    source: str
    drives: dict[str, str]


def under_way(fleet: Fleet, *options: str) -> tuple[Worker, Copies]:
    """A worker in the middle of several copies, which it will not end."""
    slow = fleet.worker(*SLOWLY, *options)
    source = fleet.source(size=LARGE)
    copies = Copies(source, dict(fleet.clone(source) for _ in range(AT_ONCE)))
    fleet.wait_for_checkpoints(list(copies.drives))
    return slow, copies


def wait_for_heartbeats(fleet: Fleet) -> None:
    """Until all workers have sent one from now on, and so cannot be taken for dead."""
    with psycopg.connect(fleet.url, autocommit=True) as connection:
        [[now]] = connection.execute("SELECT now()").fetchall()

        def all_have() -> bool:
            return connection.execute(
                "SELECT bool_and(last_heartbeat > %s) FROM procrastinate_workers", (now,)
            ).fetchall() == [(True,)]

        wait_for("for heartbeats", all_have)


def all_refused(worker: Worker) -> bool:
    return worker.logged().count("was refused") == AT_ONCE


def check_images(fleet: Fleet, copies: Copies) -> None:
    assert {fleet.sha256(drive) for drive in copies.drives.values()} == {
        fleet.sha256(copies.source)
    }


def check_gone_on_with(fleet: Fleet, job: str, *by: str) -> None:
    """Progress and checkpoints only ever grow, though other attempts make what is left."""
    events = [event for _, event in fleet.history(job)]
    assert [event.worker for event in events if isinstance(event, JobAttemptStarted)][1:] == [*by]
    reports = [event for event in events if isinstance(event, ProgressUpdated)]
    for before, after in pairwise(reports):
        assert before.progress <= after.progress
        assert before.offset <= after.offset
    assert reports[0].offset > 0
    assert isinstance(events[-1], JobSucceeded)


def test_a_worker_killed_during_a_copy(fleet: Fleet, rounds: int) -> None:
    """Another continues from the last checkpoint, and every image is correct."""
    for _ in range(rounds):
        slow, copies = under_way(fleet)
        slow.kill()
        quick = fleet.worker()
        fleet.wait_until("success", list(copies.drives))
        check_images(fleet, copies)
        for job in copies.drives:
            check_gone_on_with(fleet, job, quick.name)
            assert [event for _, event in fleet.history(job)].count(JobAttemptLost(1)) == 1
        assert not [name for name in fleet.files() if not name.endswith(".img")]
        wait_for("for all tasks to be gone", lambda: fleet.tasks() == [])
        assert quick.stop() == 0


def test_a_worker_paused_until_it_loses_its_task(fleet: Fleet, rounds: int) -> None:
    """Another worker has done its jobs, once; what it reports and writes then has no effect."""
    for _ in range(rounds):
        slow, copies = under_way(fleet)
        slow.pause()
        quick = fleet.worker()
        fleet.wait_until("success", list(copies.drives))
        check_images(fleet, copies)
        inodes = {
            drive: fleet.pools["main"].image(drive).stat().st_ino
            for drive in copies.drives.values()
        }
        slow.wake()
        wait_for("for its reports to be refused", partial(all_refused, slow))
        assert slow.stop() == 0
        for job, drive in copies.drives.items():
            history = fleet.history(job)
            second = [event for _, event in history].index(
                next(e for _, e in history if isinstance(e, JobAttemptStarted) and e.attempt == 2)
            )
            assert {actor for actor, _ in history[second:]} == {quick.name}
            assert sum(isinstance(event, JobSucceeded) for _, event in history) == 1
            assert fleet.pools["main"].image(drive).stat().st_ino == inodes[drive]
        check_images(fleet, copies)
        assert not [name for name in fleet.files() if not name.endswith(".img")]
        assert quick.stop() == 0


def test_a_worker_stopped_during_a_copy(fleet: Fleet) -> None:
    """Its tasks go back, and another continues where it stopped, and obeys a cancellation."""
    slow, copies = under_way(fleet)
    assert slow.stop() == 0
    assert fleet.tasks() == [("todo", "main")] * AT_ONCE
    again = fleet.worker(*SLOWLY)
    cancelled, *others = copies.drives
    wait_for(
        "for the second attempts",
        lambda: {fleet.job(job).attempt for job in copies.drives} == {2},
    )
    fleet.do(CancelJob("me", cancelled))
    drive = copies.drives.pop(cancelled)
    wait_for("for its files to go", lambda: not [name for name in fleet.files() if drive in name])
    assert again.stop() == 0
    quick = fleet.worker()
    fleet.wait_until("success", others)
    for job in others:
        check_gone_on_with(fleet, job, again.name, quick.name)
    check_images(fleet, copies)
    wait_for("for all tasks to be gone", lambda: fleet.tasks() == [])


def test_a_job_without_a_task_gets_one(fleet: Fleet) -> None:
    """As after a move from SQLite."""
    source = fleet.source()
    job, drive = fleet.clone(source)
    with psycopg.connect(fleet.url) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    fleet.worker()
    fleet.wait_until("success", [job])
    assert fleet.sha256(drive) == fleet.sha256(source)


def test_a_worker_that_was_given_up_takes_tasks_again(fleet: Fleet) -> None:
    """It has been silent for very long, and takes tasks as before."""
    worker = fleet.worker().wait_until_it_works()
    with psycopg.connect(fleet.url) as connection:
        connection.execute("DELETE FROM procrastinate_workers")
    source = fleet.source()
    job, drive = fleet.clone(source)
    fleet.wait_until("success", [job])
    assert fleet.sha256(drive) == fleet.sha256(source)
    assert worker.process.poll() is None


def test_lost_connections(fleet: Fleet) -> None:
    """Copies go on meanwhile, no task is lost, and new ones are taken as before."""
    worker, copies = under_way(fleet)
    for _ in range(3):
        end_connections(fleet.url)
    fleet.wait_for_progress(list(copies.drives))
    small = fleet.source(size=MIB // 16)
    job, drive = fleet.clone(small)
    fleet.wait_until("success", [job])
    assert fleet.sha256(drive) == fleet.sha256(small)
    cancelled, *others = copies.drives
    fleet.do(CancelJob("me", cancelled))
    doing = [("doing", "main")] * len(others)
    wait_for("for the tasks of both to be gone", lambda: fleet.tasks() == doing)
    assert {fleet.job(job).attempt for job in copies.drives} == {1}
    assert worker.stop() == 0
    assert fleet.tasks() == [("todo", "main")] * len(others)
    quick = fleet.worker()
    fleet.wait_until("success", others)
    del copies.drives[cancelled]
    check_images(fleet, copies)
    wait_for("for all tasks to be gone", lambda: fleet.tasks() == [])
    assert quick.stop() == 0


def test_workers_survive_while_the_database_is_away(fleet: Fleet) -> None:
    """Nor afterwards: heartbeats come first, though all are older than those of the dead."""
    patiently = f"--stalled-after={PATIENTLY_S}"
    worker, copies = under_way(fleet, patiently)
    others = [fleet.worker(patiently).wait_until_it_works() for _ in range(2)]
    with away(fleet.url):
        time.sleep(PATIENTLY_S + 1)  # so long is the database away
    fleet.wait_for_progress(list(copies.drives))
    for _ in range(2):  # who looked before the first has done by then what came of it
        wait_for_heartbeats(fleet)
    assert {fleet.job(job).attempt for job in copies.drives} == {1}
    assert not [each for each in (worker, *others) if "is gone" in each.logged()]
    assert "PostgreSQL is away" in worker.logged()
    assert "psycopg.pool" not in worker.logged(), "it logs each attempt to connect"
    assert worker.stop() == 0
    fleet.wait_until("success", list(copies.drives))
    check_images(fleet, copies)
