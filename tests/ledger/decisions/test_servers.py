"""Creating and deleting servers."""

import pytest

from ledger.domain.aggregates.server import Server
from ledger.domain.commands.drives import CloneDrive
from ledger.domain.commands.servers import (
    CloneServer,
    CreateServers,
    DeleteServers,
    NewServer,
    Recurse,
)
from ledger.domain.context import DropVncPassword, Fact, SetVncPassword
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.drives import DriveAlreadyMounted, DriveBusy, DriveNotFound
from ledger.domain.errors.servers import ServerBusy, ServerNotFound
from ledger.domain.events.drives import DriveDeleted
from ledger.domain.events.servers import (
    IpConf,
    Mount,
    Nic,
    ServerChanged,
    ServerCreated,
    ServerDeleted,
)
from ledger.store.unit_of_work import NO_STREAM
from tests.support.deciding import given
from tests.support.world import (
    ME,
    SOMEBODY_ELSE,
    cdrom,
    disk,
    drive_created,
    machine,
    mount,
    ready_drive,
    server_created,
)


def new_server(uuid: str, *mounts: Mount, nics: tuple[Nic, ...] = ()) -> NewServer:
    return NewServer(uuid, machine(), mounts, nics, "secret")


def test_servers_are_made_with_drives_and_nics() -> None:
    """The event has all but the password, which goes to a plain table."""
    nics = (Nic("22:00:00:00:00:99", ip_v4_conf=IpConf("static", "1.2.3.4")),)
    new = new_server("s", mount("a"), nics=nics)
    given(ready_drive("a")).when(CreateServers(ME, (new, new_server("t")))).then(
        Fact("server-s", ServerCreated(ME, machine(), (mount("a"),), nics)),
        SetVncPassword("s", "secret"),
        Fact("server-t", ServerCreated(ME, machine(), (), ())),
        SetVncPassword("t", "secret"),
    )


def test_a_drive_without_an_image_may_be_attached() -> None:
    """A drive that is still being cloned may be attached to a new server."""
    given(ready_drive("a"), CloneDrive(ME, "a", "b", "j")).when(
        CreateServers(ME, (new_server("s", mount("b")),))
    ).then(
        Fact("server-s", ServerCreated(ME, machine(), (mount("b"),), ())),
        SetVncPassword("s", "secret"),
    )


def test_a_server_cannot_be_made_twice() -> None:
    """A uuid that is taken, be it by a deleted server, is refused."""
    world = given(server_created("s"), server_created("gone"), DeleteServers(ME, ("gone",)))
    for uuid in ("s", "gone"):
        world.when(CreateServers(ME, (new_server(uuid),))).then_refused(AlreadyExists, uuid)


@pytest.mark.parametrize("uuid", ["nothing", "theirs"])
def test_only_own_drives_can_be_attached(uuid: str) -> None:
    """A drive of another account is not found."""
    given(ready_drive("theirs", owner=SOMEBODY_ELSE)).when(
        CreateServers(ME, (new_server("s", mount(uuid)),))
    ).then_refused(DriveNotFound, uuid)


def test_a_disk_is_attached_to_one_server() -> None:
    """A disk that a server has mounted cannot be mounted by another."""
    given(ready_drive("a"), server_created("s", mount("a"))).when(
        CreateServers(ME, (new_server("t", mount("a")),))
    ).then_refused(DriveAlreadyMounted, "a", point="drives")


def test_a_disk_is_attached_to_one_place_of_a_server() -> None:
    """One server cannot mount a disk twice."""
    given(ready_drive("a")).when(
        CreateServers(ME, (new_server("s", mount("a"), mount("a", 1)),))
    ).then_refused(DriveAlreadyMounted, point="drives")


def test_two_servers_of_one_command_cannot_share_a_disk() -> None:
    """The second one sees the first, and neither is made."""
    outcome = given(ready_drive("a")).when(
        CreateServers(ME, (new_server("s", mount("a")), new_server("t", mount("a"))))
    )
    outcome.then_refused(DriveAlreadyMounted, point="drives")
    assert outcome.world.cached_stream("server-s") == NO_STREAM


@pytest.mark.parametrize(
    "definition", [cdrom(), disk(allow_multimount=True)], ids=["cdrom", "multimount"]
)
def test_cdroms_and_multimount_disks_are_shared(definition: object) -> None:
    """They may be attached to many servers, and twice to one."""
    shared = new_server("t", mount("a"), mount("a", 1))
    given(ready_drive("a", definition), server_created("s", mount("a"))).when(
        CreateServers(ME, (shared,))
    ).then(
        Fact("server-t", ServerCreated(ME, machine(), shared.mounts, ())),
        SetVncPassword("t", "secret"),
    )


def test_a_disk_is_free_once_its_server_is_deleted() -> None:
    """A deleted server mounts nothing."""
    given(ready_drive("a"), server_created("s", mount("a")), DeleteServers(ME, ("s",))).when(
        CreateServers(ME, (new_server("t", mount("a")),))
    ).then(
        Fact("server-t", ServerCreated(ME, machine(), (mount("a"),), ())),
        SetVncPassword("t", "secret"),
    )


RECURSION: dict[Recurse, tuple[str, ...]] = {
    "none": (),
    "disks": ("a", "b"),
    "cdroms": ("c",),
    "all_drives": ("a", "b", "c"),
}


@pytest.mark.parametrize("recurse", RECURSION)
def test_a_server_is_deleted_with_drives_of_the_media_that_are_asked_for(recurse: Recurse) -> None:
    """`recurse` chooses by media; other drives stay."""
    given(
        ready_drive("a"),
        drive_created("b"),
        ready_drive("c", cdrom()),
        server_created("s", mount("a", 0), mount("b", 1), mount("c", 2)),
    ).when(DeleteServers(ME, ("s", "s"), recurse)).then(
        Fact("server-s", ServerDeleted()),
        DropVncPassword("s"),
        *(Fact(f"drive-{uuid}", DriveDeleted()) for uuid in RECURSION[recurse]),
    )


def test_a_drive_that_two_deleted_servers_share_is_deleted_once() -> None:
    """It is detached from the second before it goes."""
    given(
        ready_drive("c", cdrom()),
        server_created("s", mount("c")),
        server_created("t", mount("c")),
    ).when(DeleteServers(ME, ("s", "t"), "cdroms")).then(
        Fact("server-s", ServerDeleted()),
        DropVncPassword("s"),
        Fact("server-t", ServerChanged(())),
        Fact("drive-c", DriveDeleted()),
        Fact("server-t", ServerDeleted()),
        DropVncPassword("t"),
    )


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_only_own_servers_can_be_deleted(uuid: str) -> None:
    """What never was, belongs to another account, or is deleted already, is not found."""
    given(
        server_created("mine"),
        server_created("theirs", owner=SOMEBODY_ELSE),
        server_created("gone"),
        DeleteServers(ME, ("gone",)),
    ).when(DeleteServers(ME, ("mine", uuid))).then_refused(ServerNotFound, uuid)


@pytest.mark.parametrize("uuid", ["s", "copy"])
def test_a_server_that_is_being_cloned_cannot_be_deleted(uuid: str) -> None:
    """Neither the source nor the destination of a running job."""
    given(
        ready_drive("a"), server_created("s", mount("a")), CloneServer(ME, "s", "copy", "j")
    ).when(DeleteServers(ME, (uuid,))).then_refused(ServerBusy, uuid)


def test_a_server_is_not_deleted_with_a_drive_that_is_being_cloned() -> None:
    """The server itself could go, but not its busy disk: so neither goes."""
    world = given(ready_drive("a"), server_created("s", mount("a")), CloneDrive(ME, "a", "b", "j"))
    world.when(DeleteServers(ME, ("s",), "disks")).then_refused(DriveBusy, "a")
    world.when(DeleteServers(ME, ("s",))).then(
        Fact("server-s", ServerDeleted()), DropVncPassword("s")
    )


def test_mounts_are_kept_by_device_controller_and_unit() -> None:
    """However they were given, and by number: unit 10 comes after unit 2."""
    given_order = (
        Mount("d", "virtio", "0:10"),
        Mount("c", "virtio", "0:2"),
        Mount("b", "ide", "1:0"),
        Mount("a", "ide", "0:1"),
    )
    world = given(*(ready_drive(uuid) for uuid in "abcd"), server_created("s", *given_order)).world
    server = world.server("s")
    assert isinstance(server, Server)
    assert [mount.drive for mount in server.mounts] == ["a", "b", "c", "d"]
