"""Library drives: everybody may clone them, but cannot do anything else to them."""

import pytest

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, DeleteDrives, EditDrive, ResizeDrive
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import CreateServers, NewServer
from ledger.domain.commands.tags import CreateTags, EditTag, NewTag
from ledger.domain.context import Fact
from ledger.domain.errors import AlreadyExists, Refusal
from ledger.domain.errors.drives import DriveBusy, DriveNotFound, LibraryDrive
from ledger.domain.errors.tags import ResourceNotFound
from ledger.domain.events.drives import DriveCreated, DriveDeleted
from ledger.domain.events.jobs import JobCreated, Resource
from tests.support.deciding import History, given
from tests.support.world import (
    GIB,
    ME,
    SOMEBODY_ELSE,
    cdrom,
    disk,
    drive_created,
    machine,
    mount,
    ready_drive,
)

IMAGE = disk("debian", meta={"os": "linux", "arch": "64"})
IN_THE_LIBRARY = ready_drive("l", IMAGE, owner=LIBRARY)


@pytest.mark.parametrize("account", [ME, SOMEBODY_ELSE])
def test_anybody_may_clone_a_library_drive_and_owns_the_clone(account: str) -> None:
    """The drive and its job are the account's; the source is nobody's."""
    named = (Resource("drives", "l", "source"), Resource("drives", "copy", "destination"))
    given(IN_THE_LIBRARY).when(CloneDrive(account, "l", "copy", "j")).then(
        Fact("drive-copy", DriveCreated(account, IMAGE, "fast", "clone")),
        Fact("job-j", JobCreated("drive_clone", account, named, "j")),
    )


def meta_of_clone(source: History, said: dict[str, str] | None) -> dict[str, str]:
    outcome = given(source).when(CloneDrive(ME, "l", "copy", "j", meta=said))
    [created] = outcome.events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    return created.definition.meta


@pytest.mark.parametrize(
    ("said", "merged"),
    [
        (None, {"os": "linux", "arch": "64"}),
        ({}, {"os": "linux", "arch": "64"}),
        ({"mine": "x"}, {"os": "linux", "arch": "64", "mine": "x"}),
        ({"arch": "32"}, {"os": "linux", "arch": "32"}),
    ],
)
def test_the_meta_of_a_clone_merges_the_librarys_with_the_given(
    said: dict[str, str] | None, merged: dict[str, str]
) -> None:
    """The library's description of its image stays; a clone of an own drive has the given meta."""
    assert meta_of_clone(IN_THE_LIBRARY, said) == merged
    assert meta_of_clone(ready_drive("l", IMAGE), said) == (IMAGE.meta if said is None else said)


def test_a_clone_of_a_library_drive_is_named_by_its_owners_rule() -> None:
    """Not as the library does, which likes nothing."""
    outcome = given(IN_THE_LIBRARY, EditProfile(ME, {}, "COUNTER")).when(
        CloneDrive(ME, "l", "copy", "j")
    )
    [created] = outcome.events_of("drive-copy")
    assert isinstance(created, DriveCreated)
    assert created.definition.name == "debian_1"


def test_a_library_drive_without_a_complete_image_cannot_be_cloned() -> None:
    """As any other."""
    given(drive_created("l", owner=LIBRARY)).when(CloneDrive(ME, "l", "copy", "j")).then_refused(
        DriveBusy, "l"
    )


FORBIDDEN: list[tuple[Command, type[Refusal], str | None]] = [
    (EditDrive(ME, "l", name="mine"), DriveNotFound, None),
    (EditDrive(ME, "l", tags=("t",)), DriveNotFound, None),
    (ResizeDrive(ME, "l", 2 * GIB), DriveNotFound, None),
    (DeleteDrives(ME, ("l",)), DriveNotFound, None),
    (CreateTags(ME, (NewTag("u", "x", resources=("l",)),)), ResourceNotFound, "resources"),
    (EditTag(ME, "t", resources=("l",)), ResourceNotFound, "resources"),
    (
        CreateServers(ME, (NewServer("s", machine(), (mount("l"),), (), "hush"),)),
        LibraryDrive,
        "drives",
    ),
    (
        CreateJob(ME, "k", "x", (Resource("drives", "l", "destination"),)),
        AlreadyExists,
        None,
    ),
]


@pytest.mark.parametrize(("command", "refusal", "point"), FORBIDDEN, ids=repr)
def test_nobody_may_do_anything_else_to_a_library_drive(
    command: Command, refusal: type[Refusal], point: str | None
) -> None:
    """Neither change nor delete nor tag it; and its disks are not attached."""
    given(IN_THE_LIBRARY, CreateTags(ME, (NewTag("t", "x"),))).when(command).then_refused(
        refusal, "l", point=point
    )


def test_a_library_cdrom_can_be_attached_by_anybody() -> None:
    """To any number of servers."""
    new = (NewServer("s", machine(), (mount("iso"),), (), "hush"),)
    theirs = (NewServer("t", machine(), (mount("iso"),), (), "hush"),)
    outcome = given(ready_drive("iso", cdrom(), owner=LIBRARY), CreateServers(ME, new)).when(
        CreateServers(SOMEBODY_ELSE, theirs)
    )
    assert outcome.world.relations("iso").servers == {"s", "t"}


def test_the_library_can_remove_a_drive_that_nobody_clones() -> None:
    """But not from under a running clone."""
    world = given(IN_THE_LIBRARY)
    world.when(DeleteDrives(LIBRARY, ("l",))).then(Fact("drive-l", DriveDeleted()))
    given(IN_THE_LIBRARY, CloneDrive(ME, "l", "copy", "j")).when(
        DeleteDrives(LIBRARY, ("l",))
    ).then_refused(DriveBusy, "l")


def test_the_library_cannot_remove_the_drives_of_accounts() -> None:
    """It owns what it was given, and nothing else."""
    for command in (EditDrive(LIBRARY, "d", name="x"), DeleteDrives(LIBRARY, ("d",))):
        given(ready_drive("d")).when(command).then_refused(DriveNotFound, "d")
