"""What a copy makes of what an earlier attempt, or a missing pool, has left it."""

import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.composition import OpenLedger, open_ledger
from ledger.commands import (
    CloneDrive,
    CreateDrives,
    MarkDriveReady,
    NewDrive,
    StartAttempt,
    UpdateProgress,
)
from ledger.drive import Drive
from ledger.events import DriveDefinition, drive_stream, job_stream
from ledger.images import Pool, fingerprint
from ledger.job import Job
from ledger.store.writer import Caller
from ledger.workers.copying import Copying, CopyWorkers

ME = Caller("me", "")
MIB = 1024**2
SIZE = 4 * MIB
SETTLED_S = 20.0


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
    workers = CopyWorkers(opened.ledger, pools, Copying(1, None, verify=False), worker="test")
    workers.start(["job"])
    deadline = time.monotonic() + SETTLED_S
    job = opened.ledger.current(job_stream("job"))
    while isinstance(job, Job) and job.state == "started" and time.monotonic() < deadline:
        time.sleep(0.01)
        job = opened.ledger.current(job_stream("job"))
    workers.stop()
    assert isinstance(job, Job)
    return job


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
