"""Cloning a drive: one command makes the new drive and its job."""

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.drive import SIZE_STEP
from ledger.domain.commands.drives import CloneDrive, DeleteDrives
from ledger.domain.commands.jobs import StartAttempt, SucceedJob
from ledger.domain.context import Fact
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.drives import DriveBusy, DriveNotFound, SizeTooSmall
from ledger.domain.errors.pools import PoolsApart, UnknownStorageType
from ledger.domain.events.drives import DriveCreated
from ledger.domain.events.jobs import JobCreated, Resource
from tests.support.deciding import given
from tests.support.world import (
    GIB,
    ME,
    SOMEBODY_ELSE,
    Foreseen,
    cdrom,
    disk,
    drive_created,
    ready_drive,
)

SOURCE = disk("original", 4 * GIB, meta={"a": "b"}, affinities=("ssd",), allow_multimount=True)
NAMED = (Resource("drives", "source", "source"), Resource("drives", "copy", "destination"))


def clone(**said: Any) -> CloneDrive:
    return CloneDrive(ME, "source", "copy", "j", **said)


def test_a_clone_has_the_properties_of_its_source() -> None:
    """Where the command says nothing, the source does; the clone is placed near it."""
    given(ready_drive("source", SOURCE)).when(clone()).then(
        Fact("drive-copy", DriveCreated(ME, SOURCE, "fast", "clone")),
        Fact("job-j", JobCreated("drive_clone", ME, NAMED, "j")),
    )


SAID = {
    "name": "mine",
    "media": "cdrom",
    "storage_type": "zadara",
    "meta": {},
    "affinities": (),
    "allow_multimount": False,
    "size": 5 * GIB,
}


@pytest.mark.parametrize("field", SAID)
def test_a_clone_has_the_fields_of_the_command(field: str) -> None:
    """Every field can be said, and even what is empty counts as said."""
    outcome = given(ready_drive("source", SOURCE)).when(clone(**{field: SAID[field]}))
    [created] = outcome.events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    assert replace(SOURCE, **{field: SAID[field]}) == created.definition
    assert ("slow" if field == "storage_type" else "fast") == created.pool


def test_the_size_of_a_clone_is_rounded_up() -> None:
    """A larger size becomes the next multiple of 16 KiB."""
    outcome = given(ready_drive("source", SOURCE)).when(clone(size=4 * GIB + 1))
    [created] = outcome.events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    assert created.definition.size == 4 * GIB + SIZE_STEP


@pytest.mark.parametrize("less", [SIZE_STEP, 1])
def test_a_clone_may_not_be_smaller_than_its_source(less: int) -> None:
    """Not by a byte, though rounding up would reach the source's size."""
    world = given(ready_drive("source", SOURCE))
    world.when(clone(size=4 * GIB - less)).then_refused(SizeTooSmall, point="size")
    [created] = world.when(clone(size=4 * GIB)).events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    assert created.definition.size == 4 * GIB


def test_a_clone_of_a_storage_type_that_no_pool_has_is_refused() -> None:
    """Cloning names the field at fault."""
    given(ready_drive("source", SOURCE)).when(clone(storage_type="tape")).then_refused(
        UnknownStorageType, point="storage_type"
    )


def test_a_clone_of_a_drive_in_a_pool_that_is_gone_goes_to_the_roomiest() -> None:
    """Nearness is a wish."""
    outcome = given(ready_drive("source", SOURCE, pool="burnt")).when(clone())
    [created] = outcome.events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    assert created.pool == "roomy"


def test_a_cdrom_can_be_cloned_by_itself() -> None:
    """Media do not matter for a drive clone."""
    given(ready_drive("source", cdrom())).when(clone()).then(
        Fact("drive-copy", DriveCreated(ME, cdrom(), "fast", "clone")),
        Fact("job-j", JobCreated("drive_clone", ME, NAMED, "j")),
    )


@pytest.mark.parametrize("source", ["nothing", "theirs", "gone"])
def test_only_own_drives_can_be_cloned(source: str) -> None:
    """What never was, belongs to another account, or is deleted, is not found."""
    given(
        ready_drive("theirs", owner=SOMEBODY_ELSE), ready_drive("gone"), DeleteDrives(ME, ("gone",))
    ).when(CloneDrive(ME, source, "copy", "j")).then_refused(DriveNotFound, source)


def test_a_drive_without_a_complete_image_cannot_be_cloned() -> None:
    """Neither a new drive nor a clone that is being copied."""
    given(drive_created("source")).when(clone()).then_refused(DriveBusy, "source")
    given(ready_drive("source"), clone()).when(CloneDrive(ME, "copy", "third", "k")).then_refused(
        DriveBusy, "copy"
    )


def test_a_clone_can_be_cloned_once_it_is_complete() -> None:
    """A finished clone is a drive like any other."""
    given(ready_drive("source"), clone(), StartAttempt("j", 1, "w"), SucceedJob("j", 1)).when(
        CloneDrive(ME, "copy", "third", "k")
    ).then(
        Fact("drive-third", DriveCreated(ME, disk(), "fast", "clone")),
        Fact(
            "job-k",
            JobCreated(
                "drive_clone",
                ME,
                (Resource("drives", "copy", "source"), Resource("drives", "third", "destination")),
                "k",
            ),
        ),
    )


def test_a_drive_can_be_cloned_many_times_at_once() -> None:
    """A running clone of a drive does not hinder the next, and writes nothing to the source."""
    outcome = given(ready_drive("source"), clone()).when(CloneDrive(ME, "source", "copy2", "j2"))
    assert [change.stream for change in outcome.changes] == ["drive-copy2", "job-j2"]


@pytest.mark.parametrize(
    "taken", [CloneDrive(ME, "source", "copy", "k"), CloneDrive(ME, "source", "other", "j")]
)
def test_the_new_drive_and_its_job_need_new_uuids(taken: CloneDrive) -> None:
    """A taken uuid of either is refused, and then neither is made."""
    world = given(ready_drive("source"), clone())
    world.when(taken).then_refused(AlreadyExists)


def test_a_drive_cannot_be_cloned_onto_itself() -> None:
    """Source and destination cannot be the same."""
    given(ready_drive("source")).when(CloneDrive(ME, "source", "source", "j")).then_refused(
        AlreadyExists
    )


def test_a_clone_is_placed_only_where_a_worker_can_copy_it() -> None:
    """To a pool within reach, though another has more room; if there is none, it is refused."""
    foreseen = Foreseen()
    foreseen.apart.add(("slow", "roomy"))
    source = ready_drive("source", SOURCE, pool="slow")
    outcome = given(source, environment=foreseen).when(clone())
    [created] = outcome.events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    assert created.pool == "fast"
    foreseen.apart.add(("slow", "fast"))
    given(source, environment=foreseen).when(clone()).then_refused(
        PoolsApart, "from pool slow to pool roomy", point="storage_type"
    )
    outcome = given(source, environment=foreseen).when(clone(storage_type="zadara"))
    assert outcome.refusal is None


def test_a_storage_type_without_a_pool_is_refused_as_unknown() -> None:
    """Otherwise the reader would look for a worker in vain."""
    given(ready_drive("source", SOURCE)).when(clone(storage_type="ssd")).then_refused(
        UnknownStorageType, point="storage_type"
    )
