"""Editing and resizing drives."""

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.drive import SIZE_STEP, Drive
from ledger.domain.commands.drives import (
    CloneDrive,
    CompleteResize,
    DeleteDrives,
    EditDrive,
    FailResize,
    ResizeDrive,
)
from ledger.domain.commands.jobs import StartAttempt, SucceedJob
from ledger.domain.commands.servers import ChangePower
from ledger.domain.context import Fact
from ledger.domain.errors.drives import DriveBusy, DriveNotFound, SizeTooSmall
from ledger.domain.errors.servers import ServerRunning
from ledger.domain.events.drives import (
    DriveChanged,
    DriveDeleted,
    DriveResized,
    DriveResizeFailed,
    DriveResizeStarted,
)
from tests.support.deciding import History, Outcome, given
from tests.support.world import (
    GIB,
    ME,
    SOMEBODY_ELSE,
    disk,
    drive_created,
    mount,
    ready_drive,
    server_created,
)

BEFORE = disk("before", meta={"a": "b", "c": "d"}, affinities=("ssd",), allow_multimount=True)
RUNNING = (
    ready_drive("d", BEFORE),
    server_created("s", mount("d")),
    ChangePower(ME, "s", "start"),
)


def edit(**said: object) -> EditDrive:
    return EditDrive(ME, "d", **said)


def drive_after(outcome: Outcome) -> Drive:
    drive = outcome.world.drive("d")
    assert isinstance(drive, Drive)
    return drive


# Editing

SAID = {
    "name": "after",
    "media": "cdrom",
    "meta": {"only": "this"},
    "affinities": (),
    "allow_multimount": False,
}


@pytest.mark.parametrize("field", SAID)
def test_an_edit_changes_only_the_given_fields_of_a_drive(field: str) -> None:
    """Each field alone; meta and affinities are replaced as a whole, and empty counts as said."""
    after = replace(BEFORE, **{field: SAID[field]})
    outcome = given(ready_drive("d", BEFORE)).when(edit(**{field: SAID[field]}))
    outcome.then(Fact("drive-d", DriveChanged(after)))
    assert drive_after(outcome).definition == after


def test_many_fields_are_one_change() -> None:
    """With a greater size a resize begins in the same transaction."""
    given(ready_drive("d", BEFORE)).when(edit(**SAID, size=2 * GIB)).then(
        Fact("drive-d", DriveChanged(replace(BEFORE, **SAID))),
        Fact("drive-d", DriveResizeStarted(2 * GIB)),
    )


@pytest.mark.parametrize(
    "said",
    [{}, {"name": "before", "meta": BEFORE.meta, "size": GIB, "media": "disk", "tags": ()}],
    ids=["nothing", "what holds already"],
)
def test_an_edit_that_changes_nothing_records_nothing(said: dict[str, object]) -> None:
    """Whatever was sent."""
    given(ready_drive("d", BEFORE)).when(edit(**said)).then()


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_only_own_drives_can_be_changed(uuid: str) -> None:
    """What never was, belongs to another account, or is deleted, is not found."""
    world = given(
        ready_drive("theirs", owner=SOMEBODY_ELSE), ready_drive("gone"), DeleteDrives(ME, ("gone",))
    )
    world.when(EditDrive(ME, uuid, name="x")).then_refused(DriveNotFound, uuid)
    world.when(ResizeDrive(ME, uuid, 2 * GIB)).then_refused(DriveNotFound, uuid)


def test_a_drive_that_is_being_copied_can_be_renamed() -> None:
    """Source and destination; only their images are busy."""
    world = given(ready_drive("d"), CloneDrive(ME, "d", "copy", "j"))
    world.when(edit(name="x")).then(Fact("drive-d", DriveChanged(disk("x"))))
    world.when(EditDrive(ME, "copy", name="x")).then(Fact("drive-copy", DriveChanged(disk("x"))))


def test_a_drive_of_a_running_server_changes_only_what_needs_no_stop() -> None:
    """Size, media and affinities are passed over, silently, though the size is too small."""
    given(RUNNING).when(edit(**SAID, size=SIZE_STEP)).then(
        Fact(
            "drive-d",
            DriveChanged(
                replace(BEFORE, name="after", meta={"only": "this"}, allow_multimount=False)
            ),
        )
    )
    given(RUNNING).when(edit(media="cdrom", affinities=(), size=2 * GIB)).then()


def test_every_field_of_a_drive_can_change_once_its_server_is_stopped() -> None:
    """It may be mounted."""
    given(RUNNING, ChangePower(ME, "s", "stop")).when(edit(media="cdrom", size=2 * GIB)).then(
        Fact("drive-d", DriveChanged(replace(BEFORE, media="cdrom"))),
        Fact("drive-d", DriveResizeStarted(2 * GIB)),
    )


def test_a_refused_size_refuses_the_whole_edit() -> None:
    """Not even the name changes."""
    outcome = given(ready_drive("d", BEFORE)).when(edit(name="x", size=GIB - SIZE_STEP))
    outcome.then_refused(SizeTooSmall, point="size")
    assert drive_after(outcome).definition == BEFORE


# Resizing

RESIZING = (ready_drive("d", BEFORE), ResizeDrive(ME, "d", 2 * GIB))


def test_a_drive_shows_its_old_size_until_its_image_has_the_new_one() -> None:
    """First that it is wanted, then that it is so."""
    begun = given(ready_drive("d", BEFORE)).when(ResizeDrive(ME, "d", 2 * GIB))
    begun.then(Fact("drive-d", DriveResizeStarted(2 * GIB)))
    assert (drive_after(begun).definition, drive_after(begun).resizing) == (BEFORE, 2 * GIB)
    done = given(RESIZING).when(CompleteResize("d"))
    done.then(Fact("drive-d", DriveResized()))
    assert drive_after(done).definition == replace(BEFORE, size=2 * GIB)
    assert drive_after(done).resizing is None


def test_a_drive_that_could_not_grow_has_the_size_that_it_had() -> None:
    """And can be resized again."""
    failed = given(RESIZING).when(FailResize("d", "PoolFull"))
    failed.then(Fact("drive-d", DriveResizeFailed("PoolFull")))
    assert (drive_after(failed).definition, drive_after(failed).resizing) == (BEFORE, None)
    given(RESIZING, FailResize("d", "PoolFull")).when(ResizeDrive(ME, "d", 3 * GIB)).then(
        Fact("drive-d", DriveResizeStarted(3 * GIB))
    )


@pytest.mark.parametrize(
    ("wanted", "size"),
    [(GIB + 1, GIB + SIZE_STEP), (GIB + SIZE_STEP, GIB + SIZE_STEP), (2 * GIB - 1, 2 * GIB)],
)
def test_a_new_size_is_rounded_up(wanted: int, size: int) -> None:
    """To the next multiple of 16 KiB."""
    for command in (ResizeDrive(ME, "d", wanted), edit(size=wanted)):
        given(ready_drive("d")).when(command).then(Fact("drive-d", DriveResizeStarted(size)))


@pytest.mark.parametrize("command", [ResizeDrive(ME, "d", GIB), edit(size=GIB)], ids=repr)
def test_resizing_to_the_same_size_changes_nothing(command: ResizeDrive) -> None:
    """Also where it could not be resized just now."""
    for history in (ready_drive("d"), drive_created("d"), (ready_drive("d"), clone_of_d())):
        given(history).when(command).then()


def clone_of_d() -> CloneDrive:
    return CloneDrive(ME, "d", "copy", "j")


@pytest.mark.parametrize("size", [GIB - SIZE_STEP, 1])
def test_a_drive_cannot_shrink(size: int) -> None:
    """Its image is never cut."""
    for command in (ResizeDrive(ME, "d", size), edit(size=size)):
        given(ready_drive("d")).when(command).then_refused(SizeTooSmall, point="size")


BUSY: dict[str, History] = {
    "no image yet": drive_created("d"),
    "being resized": RESIZING,
    "being cloned": (ready_drive("d"), clone_of_d()),
    "a clone": (ready_drive("a"), CloneDrive(ME, "a", "d", "j")),
}


@pytest.mark.parametrize("why", BUSY)
def test_a_drive_whose_image_is_worked_on_cannot_be_resized(why: str) -> None:
    """Neither by a resize nor by an edit."""
    for command in (ResizeDrive(ME, "d", 3 * GIB), edit(size=3 * GIB)):
        given(BUSY[why]).when(command).then_refused(DriveBusy, "d")


def test_a_drive_of_a_running_server_cannot_be_resized() -> None:
    """A resize is refused; an edit ignores the size."""
    given(RUNNING).when(ResizeDrive(ME, "d", 2 * GIB)).then_refused(ServerRunning, "s")


def test_a_drive_that_grows_cannot_be_cloned() -> None:
    """Its image changes under the copy; later it can."""
    given(RESIZING).when(clone_of_d()).then_refused(DriveBusy, "being resized")
    outcome = given(RESIZING, CompleteResize("d")).when(clone_of_d())
    assert outcome.refusal is None


def test_a_clone_can_grow_once_it_is_complete() -> None:
    """A finished clone is a drive like any other."""
    given(BUSY["a clone"], StartAttempt("j", 1, "w"), SucceedJob("j", 1)).when(
        ResizeDrive(ME, "d", 2 * GIB)
    ).then(Fact("drive-d", DriveResizeStarted(2 * GIB)))


@pytest.mark.parametrize("end", [CompleteResize("d"), FailResize("d", "no")], ids=repr)
def test_a_resize_that_was_not_requested_cannot_end(end: CompleteResize) -> None:
    """Nor one that has ended, nor one of a deleted drive."""
    given(ready_drive("d")).when(end).then_refused(DriveBusy, "d")
    given(RESIZING, CompleteResize("d")).when(end).then_refused(DriveBusy, "d")
    given(RESIZING, DeleteDrives(ME, ("d",))).when(end).then_refused(DriveNotFound, "d")


def test_a_drive_that_grows_can_be_renamed_and_deleted() -> None:
    """The change keeps the size that it is to have."""
    renamed = given(RESIZING).when(edit(name="x"))
    renamed.then(Fact("drive-d", DriveChanged(replace(BEFORE, name="x"))))
    assert drive_after(renamed).resizing == 2 * GIB
    given(RESIZING).when(DeleteDrives(ME, ("d",))).then(Fact("drive-d", DriveDeleted()))
