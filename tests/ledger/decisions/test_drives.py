"""Creating drives, completing their images, and deleting them."""

import pytest

from ledger.domain.aggregates.drive import SIZE_STEP, round_up
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    FailImage,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import FailJob, StartAttempt, SucceedJob
from ledger.domain.commands.servers import CreateServers, NewServer
from ledger.domain.context import Fact, PoolSpace
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.drives import DriveBusy, DriveNotFound
from ledger.domain.errors.pools import UnknownStorageType
from ledger.domain.events.drives import DriveCreated, DriveDeleted, DriveImageFailed, DriveReady
from ledger.domain.events.servers import ServerChanged
from ledger.store.unit_of_work import NO_STREAM
from tests.support.deciding import given
from tests.support.world import (
    GIB,
    ME,
    POOLS,
    SOMEBODY_ELSE,
    Foreseen,
    cdrom,
    disk,
    drive_created,
    machine,
    mount,
    ready_drive,
    server_created,
)


def test_drives_are_created_in_the_pool_of_their_type_with_the_most_room() -> None:
    """Each new drive goes to the pool of its storage type that has most room."""
    new = (NewDrive("a", disk()), NewDrive("b", disk(storage_type="zadara")))
    given().when(CreateDrives(ME, new, "blank")).then(
        Fact("drive-a", DriveCreated(ME, disk(), "roomy", "blank")),
        Fact("drive-b", DriveCreated(ME, disk(storage_type="zadara"), "slow", "blank")),
    )


@pytest.mark.parametrize("pools", [POOLS[:2], POOLS[1::-1]], ids=["as listed", "reversed"])
def test_the_pool_with_the_most_room_is_chosen_whatever_the_order(
    pools: tuple[PoolSpace, ...],
) -> None:
    """The order in which pools are configured does not matter."""
    given(environment=Foreseen(pools)).when(
        CreateDrives(ME, (NewDrive("a", disk()),), "blank")
    ).then(Fact("drive-a", DriveCreated(ME, disk(), "roomy", "blank")))


def test_the_room_of_a_pool_decides_and_not_its_name() -> None:
    """Only among pools with the same room the name decides, so that two nodes choose alike."""
    roomy_first = (PoolSpace("a", "dssd", 2), PoolSpace("z", "dssd", 1))
    even = (PoolSpace("z", "dssd", 1), PoolSpace("a", "dssd", 1))
    new = CreateDrives(ME, (NewDrive("d", disk()),), "blank")
    for pools, chosen in ((roomy_first, "a"), (even, "z"), (even[::-1], "z")):
        given(environment=Foreseen(pools)).when(new).then(
            Fact("drive-d", DriveCreated(ME, disk(), chosen, "blank"))
        )


def test_an_upload_stays_in_the_pool_that_has_its_bytes() -> None:
    """A pool that is named is taken, whatever room others have."""
    given().when(CreateDrives(ME, (NewDrive("a", disk(), "fast"),), "upload")).then(
        Fact("drive-a", DriveCreated(ME, disk(), "fast", "upload"))
    )


def test_a_drive_of_a_storage_type_that_no_pool_has_is_refused() -> None:
    """Creating names the field at fault, and the storage types that there are."""
    given().when(
        CreateDrives(ME, (NewDrive("a", disk(storage_type="tape")),), "blank")
    ).then_refused(UnknownStorageType, "there is dssd, zadara", point="storage_type")


def test_a_drive_cannot_be_made_twice() -> None:
    """A uuid that is taken is refused."""
    given(drive_created("a")).when(
        CreateDrives(ME, (NewDrive("a", disk()),), "blank")
    ).then_refused(AlreadyExists, "drive a")


def test_a_uuid_is_never_used_again_after_deletion() -> None:
    """What is deleted keeps its uuid for ever."""
    given(ready_drive("a"), DeleteDrives(ME, ("a",))).when(
        CreateDrives(ME, (NewDrive("a", disk()),), "blank")
    ).then_refused(AlreadyExists)


def test_two_drives_of_one_command_cannot_share_a_uuid() -> None:
    """The second one finds that the first has taken it."""
    new = (NewDrive("a", disk("one")), NewDrive("a", disk("two")))
    given().when(CreateDrives(ME, new, "blank")).then_refused(AlreadyExists)


def test_drives_are_made_all_or_none() -> None:
    """One drive that is refused takes the others of its command with it."""
    new = (NewDrive("a", disk()), NewDrive("b", disk(storage_type="tape")))
    outcome = given().when(CreateDrives(ME, new, "blank"))
    outcome.then_refused(UnknownStorageType, point="storage_type")
    assert outcome.world.cached_stream("drive-a") == NO_STREAM


@pytest.mark.parametrize("origin", ["blank", "upload"])
def test_a_drive_becomes_ready_once_its_image_is_there(origin: str) -> None:
    """A blank or uploaded drive waits for its image."""
    given(drive_created("a", origin=origin)).when(MarkDriveReady("a")).then(
        Fact("drive-a", DriveReady())
    )


def test_a_drive_becomes_ready_once() -> None:
    """A drive that is ready waits for no image."""
    given(ready_drive("a")).when(MarkDriveReady("a")).then_refused(DriveBusy)


def test_only_its_job_makes_a_clone_ready() -> None:
    """Nobody but the job that copies it can say that a clone is complete."""
    given(ready_drive("a"), CloneDrive(ME, "a", "b", "j")).when(MarkDriveReady("b")).then_refused(
        DriveBusy
    )


@pytest.mark.parametrize(
    "history", [(), (ready_drive("a"), DeleteDrives(ME, ("a",)))], ids=["never was", "deleted"]
)
def test_an_unknown_drive_cannot_become_ready(history: tuple) -> None:
    """An image for an unknown or deleted drive is refused."""
    given(*history).when(MarkDriveReady("a")).then_refused(DriveNotFound, "a")


def test_drives_are_deleted() -> None:
    """Each drive of the command is deleted, once, in the order of the command."""
    given(ready_drive("a"), drive_created("b")).when(DeleteDrives(ME, ("b", "a", "b"))).then(
        Fact("drive-b", DriveDeleted()), Fact("drive-a", DriveDeleted())
    )


def test_a_deleted_drive_is_detached_from_every_server() -> None:
    """Servers keep their other drives."""
    shared = cdrom()
    given(
        ready_drive("a", shared),
        ready_drive("b"),
        server_created("t", mount("a")),
        server_created("s", mount("b"), mount("a", 1)),
    ).when(DeleteDrives(ME, ("a",))).then(
        Fact("server-s", ServerChanged((mount("b"),))),
        Fact("server-t", ServerChanged(())),
        Fact("drive-a", DriveDeleted()),
    )


def test_two_drives_of_one_server_are_detached_one_after_the_other() -> None:
    """The second deletion sees the server as the first has left it."""
    given(ready_drive("a"), ready_drive("b"), server_created("s", mount("a"), mount("b", 1))).when(
        DeleteDrives(ME, ("a", "b"))
    ).then(
        Fact("server-s", ServerChanged((mount("b", 1),))),
        Fact("drive-a", DriveDeleted()),
        Fact("server-s", ServerChanged(())),
        Fact("drive-b", DriveDeleted()),
    )


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_only_own_drives_can_be_deleted(uuid: str) -> None:
    """What never was, belongs to another account, or is deleted already, is not found."""
    given(
        ready_drive("mine"),
        ready_drive("theirs", owner=SOMEBODY_ELSE),
        ready_drive("gone"),
        DeleteDrives(ME, ("gone",)),
    ).when(DeleteDrives(ME, ("mine", uuid))).then_refused(DriveNotFound, uuid)


@pytest.mark.parametrize("uuid", ["source", "copy"])
def test_a_drive_that_is_being_cloned_cannot_be_deleted(uuid: str) -> None:
    """Neither the source nor the destination of a running job."""
    given(ready_drive("source"), CloneDrive(ME, "source", "copy", "j")).when(
        DeleteDrives(ME, (uuid,))
    ).then_refused(DriveBusy, uuid)


@pytest.mark.parametrize(
    "end", [SucceedJob("j", 1), FailJob("j", 1, "no")], ids=["success", "failed"]
)
def test_a_source_is_free_once_its_job_has_ended(end: SucceedJob | FailJob) -> None:
    """However the job ended, the source can be deleted."""
    given(
        ready_drive("source"),
        CloneDrive(ME, "source", "copy", "j"),
        StartAttempt("j", 1, "w"),
        end,
    ).when(DeleteDrives(ME, ("source",))).then(Fact("drive-source", DriveDeleted()))


def test_a_source_is_busy_until_the_last_of_its_jobs_has_ended() -> None:
    """Of two clones of one drive, the end of one is not enough."""
    world = given(
        ready_drive("source"),
        CloneDrive(ME, "source", "one", "j1"),
        CloneDrive(ME, "source", "two", "j2"),
        StartAttempt("j1", 1, "w"),
        SucceedJob("j1", 1),
    )
    world.when(DeleteDrives(ME, ("source",))).then_refused(DriveBusy)
    world.when(DeleteDrives(ME, ("one",))).then(Fact("drive-one", DriveDeleted()))


def test_a_new_server_cannot_mount_a_deleted_drive() -> None:
    """A deletion leaves nothing to attach."""
    new = NewServer("s", machine(), (mount("a"),), (), "secret")
    given(ready_drive("a"), DeleteDrives(ME, ("a",))).when(CreateServers(ME, (new,))).then_refused(
        DriveNotFound, "a"
    )


@pytest.mark.parametrize(
    ("asked", "made"),
    [(1, SIZE_STEP), (SIZE_STEP, SIZE_STEP), (SIZE_STEP + 1, 2 * SIZE_STEP), (GIB, GIB)],
)
def test_sizes_are_rounded_up_to_the_step(asked: int, made: int) -> None:
    """A size is the next multiple of 16 KiB."""
    assert made == round_up(asked)


def test_a_drive_whose_image_cannot_be_made_stays_and_says_why_once() -> None:
    failed = Fact("drive-d", DriveImageFailed("PoolFull"))
    given(drive_created("d")).when(FailImage("d", "PoolFull")).then(failed)
    again = given(drive_created("d"), FailImage("d", "PoolFull"))
    again.when(FailImage("d", "PoolFull")).then()
    again.when(FailImage("d", "else")).then(Fact("drive-d", DriveImageFailed("else")))


def test_an_image_may_be_made_at_last() -> None:
    ready = given(drive_created("d"), FailImage("d", "PoolFull")).when(MarkDriveReady("d"))
    drive = ready.then(Fact("drive-d", DriveReady())).world.drive("d")
    assert drive is not None
    assert (drive.ready, drive.failed) == (True, None)


def test_only_a_drive_that_waits_for_its_image_can_fail_to_get_one() -> None:
    world = given(ready_drive("a"), CloneDrive(ME, "a", "b", "j"))
    world.when(FailImage("a", "why")).then_refused(DriveBusy)
    world.when(FailImage("b", "why")).then_refused(DriveBusy)
    world.when(FailImage("c", "why")).then_refused(DriveNotFound, "c")
