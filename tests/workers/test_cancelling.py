"""Cancelling a clone that is really being copied: it stops soon and leaves no file."""

import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.composition import OpenLedger, open_ledger
from ledger.commands import CancelJob, CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.drive import Drive
from ledger.events import DriveDefinition, drive_stream, job_stream
from ledger.images import Pool, RateLimit
from ledger.job import Job
from ledger.store.writer import Caller
from ledger.workers import copying
from ledger.workers.copying import Copying, CopyWorkers

ME = Caller("me", "")
MIB = 1024**2
SIZE = 4 * MIB
PATIENCE_S = 20.0
SOON_S = 5.0
"""Far less than a copy at `SLOWLY` takes."""
SLOWLY = RateLimit(64 * 1024)


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
    opened: OpenLedger, pools: dict[str, Pool], rate: RateLimit | None
) -> Iterator[CopyWorkers]:
    workers = CopyWorkers(opened.ledger, pools, Copying(1, rate, verify=False), worker="test")
    workers.start([])
    try:
        yield workers
    finally:
        workers.stop()


def wait_until(holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def clone(job: str) -> CloneDrive:
    return CloneDrive("me", "s", f"copy-of-{job}", job)


def state(opened: OpenLedger, uuid: str) -> str:
    job = opened.ledger.current(job_stream(uuid))
    assert isinstance(job, Job)
    return job.state


def files(pools: dict[str, Pool]) -> list[str]:
    return sorted(path.name for path in pools["main"].path.iterdir())


def is_gone(opened: OpenLedger, uuid: str) -> bool:
    drive = opened.ledger.current(drive_stream(uuid))
    return isinstance(drive, Drive) and drive.deleted


async def test_a_running_copy_that_is_cancelled_stops_soon_and_leaves_nothing(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """At that rate it would go on for a minute; its part goes away with it."""
    with working(opened, pools, SLOWLY) as workers:
        opened.ledger.execute_blocking(clone("j"), ME)
        wait_until(lambda: (f := workers.figures("j")) is not None and f.bytes_done > 0)
        assert files(pools) == ["copy-of-j.1.part", "s.img"]
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        wait_until(lambda: workers.figures("j") is None, SOON_S)
        wait_until(lambda: files(pools) == ["s.img"], SOON_S)
    assert state(opened, "j") == "cancelled"
    assert is_gone(opened, "copy-of-j")


async def test_a_thread_is_free_for_the_next_copy_after_a_cancellation(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """The one behind it in the queue is begun."""
    with working(opened, pools, SLOWLY) as workers:
        opened.ledger.execute_blocking(clone("j"), ME)
        opened.ledger.execute_blocking(clone("k"), ME)
        wait_until(lambda: workers.figures("j") is not None)
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        wait_until(lambda: workers.figures("k") is not None, SOON_S)
    assert (state(opened, "j"), state(opened, "k")) == ("cancelled", "started")


async def test_a_queued_copy_that_is_cancelled_is_never_begun(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """Its turn comes and nothing happens: no attempt, no file."""
    with working(opened, pools, RateLimit(2 * MIB)) as workers:
        for job in ("first", "queued", "last"):
            opened.ledger.execute_blocking(clone(job), ME)
        wait_until(lambda: workers.figures("first") is not None)
        opened.ledger.execute_blocking(CancelJob("me", "queued"), ME)
        wait_until(lambda: state(opened, "last") == "success")
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
    publish = copying.publish

    def publish_slowly(part: Path, image: Path) -> None:
        if when == "after it is":
            publish(part, image)
        begun.set()
        assert go_on.wait(PATIENCE_S)
        if when == "before its image is published":
            publish(part, image)

    monkeypatch.setattr(copying, "publish", publish_slowly)
    with working(opened, pools, None):
        opened.ledger.execute_blocking(clone("j"), ME)
        wait_until(begun.is_set)
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        go_on.set()
    assert files(pools) == ["s.img"]
    assert state(opened, "j") == "cancelled"
    assert is_gone(opened, "copy-of-j")


async def test_a_copy_that_is_cancelled_between_its_look_and_its_attempt_leaves_nothing(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """The attempt is refused, and no file is made."""
    fingerprint = copying.fingerprint

    def cancelled_meanwhile(path: Path) -> object:
        opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
        return fingerprint(path)

    monkeypatch.setattr(copying, "fingerprint", cancelled_meanwhile)
    with working(opened, pools, None):
        opened.ledger.execute_blocking(clone("j"), ME)
        wait_until(lambda: state(opened, "j") == "cancelled")
    assert files(pools) == ["s.img"]


async def test_a_cancelled_job_that_a_dead_process_left_is_not_taken_up_again(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """Its workers start late, find it over, and remove what lies about."""
    opened.ledger.execute_blocking(clone("j"), ME)
    pools["main"].part("copy-of-j", 1).write_bytes(b"x")
    opened.ledger.execute_blocking(CancelJob("me", "j"), ME)
    workers = CopyWorkers(opened.ledger, pools, Copying(1, None, verify=False), worker="test")
    workers.start(["j"])
    wait_until(lambda: files(pools) == ["s.img"])
    workers.stop()
