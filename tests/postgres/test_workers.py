"""Workers that die, are paused, or are stopped: nothing is done twice, nothing is lost."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from ledger.commands import CancelJob
from ledger.events import JobAttemptLost, JobAttemptStarted, JobSucceeded, ProgressUpdated
from ledger.images import Pool
from tests.postgres.fleet import Fleet, Worker, fleet_on
from tests.support.postgres import away, end_connections
from tests.support.wait import wait_for

AT_ONCE = 5
TOGETHER = f"--copies-per-pool={AT_ONCE}"
SLOWLY = ("--copy-rate=512K", TOGETHER)
"""All copies together take ten seconds; none waits for that."""
PATIENTLY_S = 4
LESS_SLOWLY = ("--copy-rate=1M", TOGETHER)


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


def under_way(fleet: Fleet, slowly: tuple[str, ...] = SLOWLY) -> tuple[Worker, Copies]:
    """A worker in the middle of several copies."""
    slow = fleet.worker(*slowly)
    source = fleet.source()
    copies = Copies(source, dict(fleet.clone(source) for _ in range(AT_ONCE)))
    fleet.wait_for_checkpoints(list(copies.drives))
    return slow, copies


def all_refused(worker: Worker) -> bool:
    return worker.logged().count("was refused") == AT_ONCE


def check_images(fleet: Fleet, copies: Copies) -> None:
    assert {fleet.sha256(drive) for drive in copies.drives.values()} == {
        fleet.sha256(copies.source)
    }


def check_gone_on_with(fleet: Fleet, job: str, by: str) -> None:
    """Progress and checkpoints only ever grow, though another attempt makes the second half."""
    events = [event for _, event in fleet.history(job)]
    assert [event.worker for event in events if isinstance(event, JobAttemptStarted)][1:] == [by]
    reports = [event for event in events if isinstance(event, ProgressUpdated)]
    for before, after in pairwise(reports):
        assert before.progress <= after.progress
        assert before.offset <= after.offset
    assert reports[0].offset > 0
    assert isinstance(events[-1], JobSucceeded)


def test_killed_in_mid_copy(fleet: Fleet, rounds: int) -> None:
    """Another goes on from the last checkpoint, and every image is right."""
    for _ in range(rounds):
        slow, copies = under_way(fleet)
        slow.kill()
        quick = fleet.worker()
        fleet.wait_until("success", list(copies.drives))
        check_images(fleet, copies)
        for job in copies.drives:
            check_gone_on_with(fleet, job, by=quick.name)
            assert [event for _, event in fleet.history(job)].count(JobAttemptLost(1)) == 1
        assert not [name for name in fleet.files() if not name.endswith(".img")]
        wait_for("for all tasks to be gone", lambda: fleet.tasks() == [])
        assert quick.stop() == 0


def test_paused_past_its_lease_and_woken(fleet: Fleet, rounds: int) -> None:
    """Whoever took its jobs has done them, once; what it says and writes then comes to nothing."""
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


def test_asked_to_stop_in_mid_copy(fleet: Fleet) -> None:
    """Its tasks go back, and another goes on where it stopped; that one hears of a cancellation."""
    slow, copies = under_way(fleet)
    assert slow.stop() == 0
    assert fleet.tasks() == [("todo", "main")] * AT_ONCE
    again = fleet.worker(*LESS_SLOWLY)
    cancelled, *others = copies.drives
    wait_for("for the second attempt", lambda: fleet.job(cancelled).attempt == 2)
    fleet.do(CancelJob("me", cancelled))
    fleet.wait_until("success", others)
    for job in others:
        check_gone_on_with(fleet, job, by=again.name)
    drive = copies.drives.pop(cancelled)
    check_images(fleet, copies)
    wait_for("for its files to go", lambda: not [name for name in fleet.files() if drive in name])
    wait_for("for all tasks to be gone", lambda: fleet.tasks() == [])


def test_what_has_no_task_gets_one(fleet: Fleet) -> None:
    """As after a move from SQLite."""
    source = fleet.source()
    job, drive = fleet.clone(source)
    with psycopg.connect(fleet.url) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    fleet.worker()
    fleet.wait_until("success", [job])
    assert fleet.sha256(drive) == fleet.sha256(source)


def test_a_worker_that_was_forgotten(fleet: Fleet) -> None:
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
    worker, copies = under_way(fleet, LESS_SLOWLY)
    for _ in range(3):
        end_connections(fleet.url)
    job, drive = fleet.clone(copies.source)
    fleet.wait_until("success", [*copies.drives, job])
    copies.drives[job] = drive
    check_images(fleet, copies)
    wait_for("for all tasks to be gone", lambda: fleet.tasks() == [])
    assert worker.stop() == 0


def test_while_the_database_is_away_nobody_dies(fleet: Fleet) -> None:
    """Nor afterwards: heartbeats come first, though all are older than those of the dead."""
    patiently = f"--stalled-after={PATIENTLY_S}"
    worker, copies = under_way(fleet, (*SLOWLY, patiently))
    others = [fleet.worker(patiently).wait_until_it_works() for _ in range(2)]
    with away(fleet.url):
        time.sleep(PATIENTLY_S + 1)
    fleet.wait_until("success", list(copies.drives))
    assert {fleet.job(job).attempt for job in copies.drives} == {1}
    assert not [each for each in (worker, *others) if "is gone" in each.logged()]
    check_images(fleet, copies)
    assert worker.stop() == 0
