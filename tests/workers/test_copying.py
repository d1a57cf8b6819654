"""What a copy makes of what an earlier attempt, or a missing pool, has left it."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.composition import open_ledger
from api.service.service import OpenLedger
from ledger.codec import decode
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.jobs import StartAttempt, UpdateProgress
from ledger.domain.errors.store import StoreFull
from ledger.domain.events.drives import DriveDefinition, drive_stream
from ledger.domain.events.jobs import ProgressUpdated, job_stream
from ledger.images import watched_pool
from ledger.images.background_sync import Checkpoint
from ledger.images.files import fingerprint
from ledger.images.parts import take_over
from ledger.images.pools import Pool
from ledger.store.writer import Caller
from ledger.workers import attempts, operations
from ledger.workers.attempts import CopySettings
from ledger.workers.job_worker import JobWorker
from tests.support.wait import wait_for

ME = Caller("me", "")
MIB = 1024**2
SIZE = 4 * MIB


@pytest.fixture
def pools(tmp_path: Path) -> dict[str, Pool]:
    found = {
        "first": Pool("first", tmp_path / "first"),
        "second": Pool("second", tmp_path / "second", "zadara"),
    }
    for pool in found.values():
        pool.path.mkdir()
    return found


@pytest.fixture
async def opened(tmp_path: Path, pools: dict[str, Pool]) -> AsyncIterator[OpenLedger]:
    async with open_ledger(tmp_path, pools) as ledger:
        yield ledger


async def cloned(opened: OpenLedger, pools: dict[str, Pool], storage_type: str = "dssd") -> str:
    """A drive with an image, and a job that clones it; returns the path of the source's image."""
    source = DriveDefinition("source", "disk", SIZE, "dssd")
    image = pools["first"].image("s")
    image.write_bytes(os.urandom(SIZE))
    await opened.ledger.execute(CreateDrives("me", (NewDrive("s", source, "first"),), "blank"), ME)
    await opened.ledger.execute(MarkDriveReady("s"), ME)
    clone = CloneDrive("me", "s", "copy", "job", storage_type=storage_type)
    await opened.ledger.execute(clone, ME)
    return str(image)


def copied(opened: OpenLedger, pools: dict[str, Pool]) -> Job:
    """The job, once workers that start now are done with it."""
    workers = JobWorker(opened.ledger, pools, CopySettings(1, None, verify=False), worker="test")
    workers.start(["job"])
    try:
        wait_for("for the job to end", lambda: job_of(opened).state != "started")
    finally:
        workers.stop()
    return job_of(opened)


async def test_what_was_copied_of_another_image_is_never_gone_on_with(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """The source changed after the first attempt, and the second one saw it but died: it fails."""
    image = Path(await cloned(opened, pools))
    first = fingerprint(image)
    pools["first"].part("copy", 1).write_bytes(image.read_bytes()[:MIB] + bytes(SIZE - MIB))
    await opened.ledger.execute(StartAttempt("job", 1, "dead", first), ME)
    await opened.ledger.execute(UpdateProgress("job", 1, 25, MIB, SIZE, MIB), ME)
    image.write_bytes(os.urandom(SIZE))
    await opened.ledger.execute(StartAttempt("job", 2, "dead too", fingerprint(image)), ME)
    job = copied(opened, pools)
    assert (job.state, job.attempt) == ("failed", 3)
    assert "SourceChanged" in str(job.error)
    assert str(image) not in str(job.error), "an owner is not told the paths of this machine"


async def test_a_copy_goes_on_from_the_checkpoint_of_a_dead_process(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """What lies below the recorded offset is kept, what lies beyond is copied anew."""
    image = Path(await cloned(opened, pools))
    data = image.read_bytes()
    pools["first"].part("copy", 1).write_bytes(data[:MIB] + b"x" * 100)
    await opened.ledger.execute(StartAttempt("job", 1, "dead", fingerprint(image)), ME)
    await opened.ledger.execute(UpdateProgress("job", 1, 25, MIB, SIZE, MIB), ME)
    assert copied(opened, pools).state == "success"
    assert pools["first"].image("copy").read_bytes() == data
    assert [path.name for path in pools["first"].path.glob("copy.*")] == ["copy.img"]


async def test_a_copy_goes_on_from_a_copy_of_the_image(opened: OpenLedger, pools: dict[str, Pool]):
    """The pool was moved meanwhile, or restored, and the image has kept its time."""
    image = Path(await cloned(opened, pools))
    data = image.read_bytes()
    before = fingerprint(image)
    pools["first"].part("copy", 1).write_bytes(data[:MIB])
    await opened.ledger.execute(StartAttempt("job", 1, "dead", before), ME)
    await opened.ledger.execute(UpdateProgress("job", 1, 25, MIB, SIZE, MIB), ME)
    moved = image.with_name("moved")
    shutil.copy2(image, moved)
    moved.rename(image)
    assert fingerprint(image) != before
    assert copied(opened, pools).state == "success"
    assert pools["first"].image("copy").read_bytes() == data


async def test_an_image_that_was_published_needs_no_second_copy(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """A process died between the rename of the image and the job's success."""
    image = Path(await cloned(opened, pools))
    await opened.ledger.execute(StartAttempt("job", 1, "dead", fingerprint(image)), ME)
    pools["first"].image("copy").write_bytes(image.read_bytes())
    image.unlink()
    assert copied(opened, pools).state == "success"


@pytest.mark.parametrize("trouble", ["pool not configured", "image is a directory's entry no more"])
async def test_what_keeps_a_copy_from_beginning_fails_the_job(
    opened: OpenLedger, pools: dict[str, Pool], trouble: str
):
    """The job ends, the destination goes, and the source is free again."""
    image = Path(await cloned(opened, pools, "zadara"))
    there = dict(pools)
    if trouble == "pool not configured":
        del there["first"]
    else:
        image.unlink()
        image.parent.rmdir()
        image.parent.write_bytes(b"no directory")
    job = copied(opened, there)
    assert (job.state, job.progress) == ("failed", 0)
    destination = opened.ledger.current(drive_stream("copy"))
    assert isinstance(destination, Drive)
    assert destination.deleted


# Another attempt begins meanwhile: this one was paused for too long, but lives


def at_work(opened: OpenLedger, pools: dict[str, Pool], *, verify: bool = False) -> JobWorker:
    return JobWorker(opened.ledger, pools, CopySettings(1, None, verify=verify), worker="slow")


def names(pools: dict[str, Pool]) -> list[str]:
    return sorted(path.name for path in pools["first"].path.glob("copy.*"))


def job_of(opened: OpenLedger) -> Job:
    job = opened.ledger.current(job_stream("job"))
    assert isinstance(job, Job)
    return job


async def test_an_attempt_that_is_replaced_after_its_last_report_publishes_nothing(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """It looks once more, finds that it is not the current one, and takes its part away."""
    image = Path(await cloned(opened, pools))
    copy_image = operations.copy_image

    def replaced(**given: Any) -> None:
        copy_image(**given)
        opened.ledger.execute_blocking(StartAttempt("job", 2, "other", fingerprint(image)), ME)

    monkeypatch.setattr(operations, "copy_image", replaced)
    assert at_work(opened, pools).run_attempt("job")
    assert names(pools) == []
    assert (job_of(opened).state, job_of(opened).attempt) == ("started", 2)


async def test_an_attempt_that_is_replaced_after_its_last_look_publishes_nothing(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """Its part has another name by then; the image is left to the other attempt."""
    image = Path(await cloned(opened, pools))
    publish = operations.publish

    def replaced(part: Path, to: Path) -> None:
        opened.ledger.execute_blocking(StartAttempt("job", 2, "other", fingerprint(image)), ME)
        take_over(pools["first"], "copy", 2)
        publish(part, to)

    monkeypatch.setattr(operations, "publish", replaced)
    assert at_work(opened, pools).run_attempt("job")
    assert names(pools) == ["copy.2.part"]
    assert pools["first"].part("copy", 2).read_bytes() == image.read_bytes()
    assert (job_of(opened).state, job_of(opened).attempt) == ("started", 2)


async def test_an_image_that_was_published_while_another_took_over_is_the_image(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """The other finds it, and says so."""
    image = Path(await cloned(opened, pools))
    publish = operations.publish

    def published(part: Path, to: Path) -> None:
        publish(part, to)
        assert at_work(opened, pools).run_attempt("job")

    monkeypatch.setattr(operations, "publish", published)
    assert at_work(opened, pools).run_attempt("job")
    assert names(pools) == ["copy.img"]
    assert pools["first"].image("copy").read_bytes() == image.read_bytes()
    assert (job_of(opened).state, job_of(opened).attempt) == ("success", 2)


async def test_a_checkpoint_whose_part_is_gone_is_taken_back(
    opened: OpenLedger, pools: dict[str, Pool]
):
    """Or the next attempt would believe it of the part that is begun now."""
    image = Path(await cloned(opened, pools))
    await opened.ledger.execute(StartAttempt("job", 1, "dead", fingerprint(image)), ME)
    await opened.ledger.execute(UpdateProgress("job", 1, 50, 2 * MIB, SIZE, 2 * MIB), ME)
    assert at_work(opened, pools).run_attempt("job")
    with opened.ledger.log() as log:
        events = [decode(topic, state).event for _, topic, state in log.stream("job-job")]
    reports = [event for event in events if isinstance(event, ProgressUpdated)]
    assert [(report.progress, report.offset) for report in reports] == [(50, 2 * MIB), (50, 0)]
    assert pools["first"].image("copy").read_bytes() == image.read_bytes()


async def test_a_checkpoint_is_taken_back_once_there_is_room(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """By the same attempt: others would be recorded, too, and take the room that is left."""
    image = Path(await cloned(opened, pools))
    await opened.ledger.execute(StartAttempt("job", 1, "dead", fingerprint(image)), ME)
    await opened.ledger.execute(UpdateProgress("job", 1, 50, 2 * MIB, SIZE, 2 * MIB), ME)
    execute, full = opened.ledger.execute_blocking, iter([True, True])

    def execute_once_there_is_room(command: Command, by: Caller) -> int:
        if isinstance(command, UpdateProgress) and next(full, False):
            raise StoreFull
        return execute(command, by)

    monkeypatch.setattr(attempts, "ROOM_S", 0.0)
    monkeypatch.setattr(opened.ledger, "execute_blocking", execute_once_there_is_room)
    assert at_work(opened, pools).run_attempt("job")
    assert (job_of(opened).state, job_of(opened).attempt) == ("success", 2)
    assert pools["first"].image("copy").read_bytes() == image.read_bytes()


async def test_a_copy_that_hardly_moves_is_reported_all_the_same(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """A per cent of a large image takes long; who watches must see that somebody works on it."""
    await cloned(opened, pools)
    copy_image = operations.copy_image
    hour = 60
    now = 0.0

    def slow(**given: Any) -> None:
        nonlocal now
        for minute in range(3 * hour):
            now = minute * 60.0
            given["on_checkpoint"](Checkpoint(minute, minute, 4096 * hour))
        monkeypatch.undo()
        copy_image(**given)

    monkeypatch.setattr(operations, "copy_image", slow)
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: now))
    assert at_work(opened, pools).run_attempt("job")
    with opened.ledger.log() as log:
        events = [decode(topic, state).event for _, topic, state in log.stream("job-job")]
    reports = [event for event in events if isinstance(event, ProgressUpdated)]
    minutes = [report.offset for report in reports if report.progress == 0]
    pauses = [(age, later - age) for age, later in pairwise([0, *minutes, 3 * hour])]
    assert all(pause <= min(10, age // 10 + 2) for age, pause in pauses)
    assert len(minutes) < hour


def reports_of(opened: OpenLedger) -> list[ProgressUpdated]:
    with opened.ledger.log() as log:
        events = [decode(topic, state).event for _, topic, state in log.stream("job-job")]
    return [event for event in events if isinstance(event, ProgressUpdated)]


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies take no time, however slow the machine is, so that only news is reported."""
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.mark.usefixtures("quickly")
async def test_the_total_stays_as_it_was_stated(opened: OpenLedger, pools: dict[str, Pool]):
    """The image has less data by now: its bytes are shown in proportion."""
    image = Path(await cloned(opened, pools))
    os.truncate(image, MIB)
    os.truncate(image, SIZE)
    workers = at_work(opened, pools, verify=True)
    assert workers.run_attempt("job")
    reports = reports_of(opened)
    assert [(each.bytes_done, each.bytes_total) for each in reports] == [(SIZE, SIZE)]
    assert workers.copied_bytes() == MIB


@pytest.mark.usefixtures("quickly")
async def test_a_verification_is_reported(opened: OpenLedger, pools: dict[str, Pool]):
    """Half of the work is done when it begins, however quickly the copy was made."""
    await cloned(opened, pools)
    assert at_work(opened, pools, verify=True).run_attempt("job")
    (report, *_) = reports_of(opened)
    assert (report.progress, report.bytes_done, report.bytes_verified) == (50, SIZE, 0)


def unreadable(_: Path) -> int:
    raise OSError(errno.EIO, "as if the disk could not be read")


@pytest.mark.usefixtures("quickly")
async def test_a_quick_copy_whose_total_nobody_knew_says_it(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """Where it was known, the end of the job says all there is to say."""
    await cloned(opened, pools)
    assert at_work(opened, pools).run_attempt("job")
    assert reports_of(opened) == []
    assert job_of(opened).bytes_done == SIZE
    monkeypatch.setattr(watched_pool, "data_bytes", unreadable)
    await opened.ledger.execute(CloneDrive("me", "s", "other", "second"), ME)
    assert at_work(opened, pools).run_attempt("second")
    second = opened.ledger.current(job_stream("second"))
    assert isinstance(second, Job)
    assert (second.weight, second.bytes_done, second.bytes_total) == (None, SIZE, SIZE)


async def test_a_copy_that_is_stopped_is_not_done(
    opened: OpenLedger, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
):
    """Whoever handed it out is told, and can hand it out again."""
    await cloned(opened, pools)
    workers = at_work(opened, pools)
    copy_image = operations.copy_image

    def stopped(**given: Any) -> None:
        workers.stop()
        copy_image(**given)

    monkeypatch.setattr(operations, "copy_image", stopped)
    assert not workers.run_attempt("job")
    assert names(pools) == ["copy.1.part"]
    assert not workers.run_attempt("job")
    assert job_of(opened).attempt == 1
