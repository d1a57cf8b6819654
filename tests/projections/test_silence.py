"""Which jobs an operator is told of because nobody seems to work on them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.jobs import CreateJob, LabelJob, StartAttempt, UpdateProgress
from ledger.store.parameters import timestamp
from projections.views.jobs import silent_jobs
from tests.retention.conftest import Clock
from tests.support.opened import Opened
from tests.support.opened_postgres import InPostgres
from tests.support.world import ME, START, disk

BEFORE = START + timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Opened]:
    """A ledger with a drive in each of two pools."""
    kind = Opened
    if request.param == "postgres":
        url = request.getfixturevalue("ledger_database")
        kind = type("OpenedInPostgres", (InPostgres,), {"url": url})
    with kind(tmp_path / "ledger.sqlite", now=clock) as ledger:
        for name, pool in (("here", "fast"), ("there", "slow")):
            new = NewDrive(name, disk(name, storage_type="dssd"), pool)
            ledger.do(CreateDrives(ME, (new,), "blank"), MarkDriveReady(name))
        yield ledger


def silent(opened: Opened) -> list[str]:
    with opened.ledger.log() as log:
        return silent_jobs(log.cursor(), timestamp(BEFORE), 10)


def cloned(opened: Opened, job: str, storage_type: str = "dssd") -> None:
    opened.do(CloneDrive(ME, "here", f"of-{job}", job, storage_type=storage_type))


def report(opened: Opened, job: str, progress: int = 0) -> None:
    opened.do(UpdateProgress(job, 1, progress, progress, 100, progress))


def test_a_copy_that_reports_no_more_is_silent(opened: Opened, clock: Clock) -> None:
    """Even while another goes on in the same pool, and though its owner has labelled it since."""
    for job in ("dead", "well"):
        cloned(opened, job)
        opened.do(StartAttempt(job, 1, "w"))
        report(opened, job)
    clock.advance(hours=2)
    report(opened, "well", 1)
    opened.do(LabelJob(ME, "dead", {"seen": "x"}))
    assert silent(opened) == ["dead"]


def test_a_copy_may_wait_for_its_turn(opened: Opened, clock: Clock) -> None:
    """As long as there are others in its pool that go on; in another pool nobody works."""
    for job in ("first", "second"):
        cloned(opened, job)
    cloned(opened, "elsewhere", "zadara")
    opened.do(StartAttempt("first", 1, "w"))
    report(opened, "first")
    clock.advance(hours=2)
    report(opened, "first", 1)
    assert silent(opened) == ["elsewhere"]


def test_a_job_is_not_silent_that_others_are_part_of(opened: Opened, clock: Clock) -> None:
    """Its sub-jobs report; it changes when they end."""
    opened.do(CreateJob(ME, "server", "server_clone"))
    opened.do(CreateJob(ME, "disk", "drive_clone", parent="server"), StartAttempt("disk", 1, "w"))
    report(opened, "disk")
    clock.advance(hours=2)
    report(opened, "disk", 1)
    assert silent(opened) == []
