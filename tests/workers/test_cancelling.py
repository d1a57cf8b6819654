"""Cancelling a clone that is really being copied: it stops soon and leaves no file."""

import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.composition import open_ledger
from api.service.service import OpenLedger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.jobs import CancelJob
from ledger.domain.events.drives import DriveDefinition, drive_stream
from ledger.domain.events.jobs import job_stream
from ledger.images.pools import Pool
from ledger.images.rate import RateLimit
from ledger.store.writer import Caller
from ledger.workers import job_worker, operations
from ledger.workers.attempts import CopySettings
from ledger.workers.job_worker import JobWorker
from tests.support.wait import PATIENCE_S, wait_for

ME = Caller("me", "")
MIB = 1024**2
SIZE = 4 * MIB
PAUSE_S = 0.005


class Held(RateLimit):
    """Lets one step pass; behind it all copies wait until they are let go, or are stopped."""

    def __init__(self) -> None:
        super().__init__(1)
        self._steps = 0
        self.let_go = False

    def take(self, count: int, stop: threading.Event) -> bool:
        self._steps += 1
        while self._steps > 1 and not self.let_go:
            if stop.wait(PAUSE_S):
                return False
        return True


@pytest.fixture
def pools(tmp_path: Path) -> dict[str, Pool]:
    pool = Pool("main", tmp_path / "main")
    pool.path.mkdir()
    return {"main": pool}


@pytest.fixture
async def opened(tmp_path: Path, pools: dict[str, Pool]) -> AsyncIterator[OpenLedger]:
    """A ledger with a drive whose image is all data, so that its copy takes a while."""
    async with open_ledger(tmp_path, pools) as ledger:
        source = DriveDefinition("source", "disk", SIZE, "dssd")
        pools["main"].image("s").write_bytes(os.urandom(SIZE))
        new = CreateDrives("me", (NewDrive("s", source, "main"),), "blank")
        await ledger.ledger.execute(new, ME)
        await ledger.ledger.execute(MarkDriveReady("s"), ME)
        yield ledger


@contextmanager
def working(
    opened: OpenLedger,
    pools: dict[str, Pool],
    rate: RateLimit | None,
    unfinished: Sequence[str] = (),
) -> Iterator[JobWorker]:
    workers = JobWorker(opened.ledger, pools, CopySettings(1, rate, verify=False), worker="test")
    workers.start(unfinished)
    try:
        yield workers
    finally:
        workers.stop()


def clone(job: str) -> CloneDrive:
    return CloneDrive("me", "s", f"copy-of-{job}", job)


def state(opened: OpenLedger, uuid: str) -> str:
    job = opened.ledger.current(job_stream(uuid))
    assert isinstance(job, Job)
    return job.state


def files(pools: dict[str, Pool]) -> list[str]:
    return sorted(path.name for path in pools["main"].path.iterdir())


def has_begun(opened: OpenLedger, uuid: str) -> bool:
    job = opened.ledger.current(job_stream(uuid))
    return isinstance(job, Job) and job.attempt > 0


def is_gone(opened: OpenLedger, uuid: str) -> bool:
    drive = opened.ledger.current(drive_stream(uuid))
    return isinstance(drive, Drive) and drive.deleted


async def test_a_running_copy_that_is_cancelled_stops_soon_and_leaves_nothing(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """It would not go on by itself; its part goes away with it."""
    with working(opened, pools, Held()) as workers:
        opened.ledger.execute_blocking(clone("j"), ME)
        wait_for("for the first step", lambda: workers.copied_bytes() > 0)
        assert files(pools) == ["copy-of-j.1.part", "s.img"]
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        wait_for("for its part to go", lambda: files(pools) == ["s.img"])
    assert state(opened, "j") == "cancelled"
    assert is_gone(opened, "copy-of-j")


async def test_a_thread_is_free_for_the_next_copy_after_a_cancellation(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """The one behind it in the queue is begun."""
    with working(opened, pools, Held()):
        opened.ledger.execute_blocking(clone("j"), ME)
        opened.ledger.execute_blocking(clone("k"), ME)
        wait_for("for the first copy", lambda: has_begun(opened, "j"))
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        wait_for("for the second copy", lambda: has_begun(opened, "k"))
    assert (state(opened, "j"), state(opened, "k")) == ("cancelled", "started")


async def test_a_queued_copy_that_is_cancelled_is_never_begun(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """Its turn comes and nothing happens: no attempt, no file."""
    held = Held()
    with working(opened, pools, held):
        for job in ("first", "queued", "last"):
            opened.ledger.execute_blocking(clone(job), ME)
        wait_for("for the first copy", lambda: has_begun(opened, "first"))
        opened.ledger.execute_blocking(CancelJob("me", "queued"), ME)
        held.let_go = True
        wait_for("for the last copy", lambda: state(opened, "last") == "success")
    job = opened.ledger.current(job_stream("queued"))
    assert isinstance(job, Job)
    assert (job.state, job.attempt) == ("cancelled", 0)
    assert files(pools) == ["copy-of-first.img", "copy-of-last.img", "s.img"]


@pytest.mark.parametrize("when", ["before its image is published", "after it is"])
async def test_a_copy_that_is_cancelled_at_its_very_end_leaves_nothing(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch, when: str
):
    """Too late to stop it: its success is refused, and what it published is removed behind it."""
    begun, go_on = threading.Event(), threading.Event()
    publish = operations.publish

    def publish_slowly(part: Path, image: Path) -> None:
        if when == "after it is":
            publish(part, image)
        begun.set()
        assert go_on.wait(PATIENCE_S)
        if when == "before its image is published":
            publish(part, image)

    monkeypatch.setattr(operations, "publish", publish_slowly)
    with working(opened, pools, None):
        opened.ledger.execute_blocking(clone("j"), ME)
        assert begun.wait(PATIENCE_S)
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        go_on.set()
    assert files(pools) == ["s.img"]
    assert state(opened, "j") == "cancelled"
    assert is_gone(opened, "copy-of-j")


async def test_a_copy_that_is_cancelled_between_its_look_and_its_attempt_leaves_nothing(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """The attempt is refused, and no file is made."""
    fingerprint = job_worker.fingerprint

    def cancelled_meanwhile(path: Path) -> object:
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        return fingerprint(path)

    monkeypatch.setattr(job_worker, "fingerprint", cancelled_meanwhile)
    with working(opened, pools, None):
        opened.ledger.execute_blocking(clone("j"), ME)
        wait_for("for the cancellation", lambda: state(opened, "j") == "cancelled")
    assert files(pools) == ["s.img"]


async def test_a_cancelled_job_that_a_dead_process_left_is_not_taken_up_again(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """Its workers start late, find it over, and remove what lies about."""
    opened.ledger.execute_blocking(clone("j"), ME)
    pools["main"].part("copy-of-j", 1).write_bytes(b"x")
    opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
    with working(opened, pools, None, ["j"]):
        wait_for("for its part to go", lambda: files(pools) == ["s.img"])
