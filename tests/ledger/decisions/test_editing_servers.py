"""Editing servers: their definition, mounts, network cards and VNC password."""

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.aggregates.server import Server
from ledger.domain.commands.drives import EditDrive
from ledger.domain.commands.servers import (
    ChangePower,
    CloneServer,
    CreateServers,
    DeleteServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.domain.context import Fact, SetVncPassword
from ledger.domain.errors.drives import DriveAlreadyMounted, DriveNotFound, LibraryDrive
from ledger.domain.errors.servers import CpuTooLow, ServerNotFound
from ledger.domain.events.servers import Mount, Nic, ServerChanged
from ledger.domain.events.tags import ResourceTagged
from tests.support.deciding import Outcome, given
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

NIC = Nic("22:00:00:00:00:99")
BEFORE = machine("before", meta={"a": "b"}, requirements=("ssd",), pubkeys=("key",))
SERVER = (
    ready_drive("a"),
    ready_drive("b"),
    server_created("s", mount("a"), definition=BEFORE, nics=(NIC,)),
)
RUNNING = (SERVER, ChangePower(ME, "s", "start"))


def edit(**said: object) -> EditServer:
    return EditServer(ME, "s", ServerEdit(**said))


def attach(*mounts: Mount) -> EditServer:
    return EditServer(ME, "s", ServerEdit(), mounts=mounts)


def server_after(outcome: Outcome) -> Server:
    server = outcome.world.server("s")
    assert isinstance(server, Server)
    return server


SAID = {
    "name": "after",
    "cpu": 4000,
    "mem": 2**31,
    "cpu_type": "intel",
    "cpu_model": "host",
    "hypervisor": "none",
    "auto_start": True,
    "context": False,
    "cpus_instead_of_cores": True,
    "enable_numa": True,
    "hv_relaxed": True,
    "hv_tsc": True,
    "meta": {},
    "requirements": (),
    "pubkeys": (),
    "gpus": ({"model": "x"},),
    "epcs": ({"size": 1},),
}


@pytest.mark.parametrize("field", SAID)
def test_an_edit_changes_only_the_given_fields_of_a_server(field: str) -> None:
    """Each field alone, mounts and nics stay; and even what is empty counts as said."""
    after = replace(BEFORE, **{field: SAID[field]})
    outcome = given(SERVER).when(edit(**{field: SAID[field]}))
    outcome.then(Fact("server-s", ServerChanged(definition=after)))
    assert server_after(outcome).definition == after
    assert (server_after(outcome).mounts, server_after(outcome).nics) == ((mount("a"),), (NIC,))


def test_every_field_of_a_definition_can_be_edited() -> None:
    """A field that is added must be given to the test above too."""
    assert SAID.keys() | {"smp"} == set(ServerEdit.__struct_fields__)
    assert SAID.keys() | {"smp"} == set(BEFORE.__struct_fields__)


def test_definition_mounts_and_nics_are_one_change() -> None:
    """With all that is sent; mounts in their order."""
    nic = Nic("22:00:00:00:00:98", "e1000")
    wanted = EditServer(ME, "s", ServerEdit("after"), (mount("b", 1), mount("a")), (nic,))
    given(SERVER).when(wanted).then(
        Fact(
            "server-s",
            ServerChanged((mount("a"), mount("b", 1)), (nic,), replace(BEFORE, name="after")),
        )
    )


@pytest.mark.parametrize(
    "command",
    [
        edit(),
        edit(name="before", meta={"a": "b"}, cpu=1000),
        EditServer(ME, "s", ServerEdit(), (mount("a"),), (NIC,), tags=()),
    ],
    ids=["nothing", "the same definition", "the same mounts and nics"],
)
def test_an_edit_that_changes_nothing_records_nothing(command: EditServer) -> None:
    """Whatever was sent, of a stopped server and of one that runs."""
    given(SERVER).when(command).then()
    given(RUNNING).when(command).then()


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_only_own_servers_can_be_changed(uuid: str) -> None:
    """What never was, belongs to another account, or is deleted, is not found."""
    given(
        server_created("theirs", owner=SOMEBODY_ELSE),
        server_created("gone"),
        DeleteServers(ME, ("gone",)),
    ).when(EditServer(ME, uuid, ServerEdit("x"))).then_refused(ServerNotFound, uuid)


@pytest.mark.parametrize(
    ("cpu", "smp", "enough"),
    [(None, 2, False), (2000, 2, True), (1999, 2, False), (500, 1, True), (500, None, True)],
)
def test_each_of_several_smp_needs_cpu(cpu: int | None, smp: int | None, enough: bool) -> None:  # noqa: FBT001
    """1000 MHz each, judged by what the server would have; a single one may have less."""
    outcome = given(SERVER).when(edit(cpu=cpu, smp=smp))
    if enough:
        after = replace(BEFORE, cpu=cpu, smp=smp or 1)
        outcome.then(Fact("server-s", ServerChanged(definition=after)))
    else:
        outcome.then_refused(CpuTooLow, point="smp")


def test_with_less_cpu_a_server_has_fewer_smp() -> None:
    """As few as it is enough for, where none are given; with more of it they stay."""
    many = replace(BEFORE, cpu=4000, smp=4)
    for cpu, smp in ((2500, 2), (500, 1), (9000, 4)):
        given(server_created("s", definition=many)).when(edit(cpu=cpu)).then(
            Fact("server-s", ServerChanged(definition=replace(many, cpu=cpu, smp=smp)))
        )


# Mounts


def test_mounts_are_replaced_as_a_whole() -> None:
    """What is not named is detached, and free for another server."""
    outcome = given(SERVER).when(attach(mount("b")))
    outcome.then(Fact("server-s", ServerChanged((mount("b"),))))
    assert outcome.world.relations("a").servers == frozenset()
    assert outcome.world.relations("b").servers == frozenset({"s"})


def test_a_mounted_drive_can_be_moved_within_its_server() -> None:
    """To another channel, although this very server mounts it."""
    moved = Mount("a", "ide", "1:1", boot_order=1)
    outcome = given(SERVER).when(attach(moved))
    outcome.then(Fact("server-s", ServerChanged((moved,))))
    assert outcome.world.relations("a").servers == frozenset({"s"})


def test_a_drive_without_an_image_may_be_attached() -> None:
    """A drive that still waits for its image, too."""
    given(SERVER, drive_created("new")).when(attach(mount("a"), mount("new", 1))).then(
        Fact("server-s", ServerChanged((mount("a"), mount("new", 1))))
    )


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "their-cdrom"])
def test_only_own_drives_can_be_attached(uuid: str) -> None:
    """A drive of another account is not found."""
    given(
        SERVER,
        ready_drive("theirs", owner=SOMEBODY_ELSE),
        ready_drive("their-cdrom", cdrom(), owner=SOMEBODY_ELSE),
    ).when(attach(mount(uuid))).then_refused(DriveNotFound, uuid)


def test_a_disk_that_another_server_mounts_cannot_be_attached() -> None:
    """And then nothing of the edit is done."""
    outcome = given(SERVER, server_created("t", mount("b"))).when(
        EditServer(ME, "s", ServerEdit("after"), (mount("a"), mount("b", 1)))
    )
    outcome.then_refused(DriveAlreadyMounted, "b", point="drives")
    assert server_after(outcome).definition == BEFORE


@pytest.mark.parametrize("uuid", ["a", "b"], ids=["had already", "attached anew"])
def test_a_disk_is_attached_to_one_place_of_a_server(uuid: str) -> None:
    """Whether the server had it or not."""
    given(SERVER).when(attach(mount(uuid), mount(uuid, 1))).then_refused(
        DriveAlreadyMounted, uuid, point="drives"
    )


@pytest.mark.parametrize(
    "definition", [cdrom(), disk(allow_multimount=True)], ids=["cdrom", "multimount"]
)
def test_cdroms_and_multimount_disks_are_shared(definition: object) -> None:
    """With other servers, and within one."""
    mounts = (mount("c"), mount("c", 1))
    given(SERVER, ready_drive("c", definition), server_created("t", mount("c"))).when(
        attach(*mounts)
    ).then(Fact("server-s", ServerChanged(mounts)))


def test_library_cdroms_can_be_attached_but_library_disks_cannot() -> None:
    """A disk is cloned first."""
    world = given(
        SERVER, ready_drive("iso", cdrom(), owner=LIBRARY), ready_drive("os", owner=LIBRARY)
    )
    world.when(attach(mount("iso"))).then(Fact("server-s", ServerChanged((mount("iso"),))))
    world.when(attach(mount("os"))).then_refused(LibraryDrive, "os", point="drives")


def test_a_disk_that_is_no_longer_shared_stays_where_it_is_mounted() -> None:
    """It was shared while it allowed that; a server keeps what it has."""
    given(
        SERVER,
        EditDrive(ME, "a", allow_multimount=True),
        EditServer(ME, "s", ServerEdit(), (mount("a"),)),
        CreateServers(ME, (NewServer("t", machine(), (mount("a"),), (), "hush"),)),
        EditDrive(ME, "a", allow_multimount=False),
    ).when(attach(mount("a"), mount("b", 1))).then(
        Fact("server-s", ServerChanged((mount("a"), mount("b", 1))))
    )


def test_a_server_that_is_being_cloned_can_be_changed() -> None:
    """Only its disks are busy."""
    given(SERVER, CloneServer(ME, "s", "copy", "j")).when(edit(name="after")).then(
        Fact("server-s", ServerChanged(definition=replace(BEFORE, name="after")))
    )


# Secrets, and servers that run


def test_a_new_vnc_password_goes_to_its_plain_table_only() -> None:
    """No event tells that there is another one."""
    given(SERVER).when(EditServer(ME, "s", ServerEdit(), vnc_password="hush")).then(
        SetVncPassword("s", "hush")
    )


def test_name_meta_and_tags_of_a_running_server_can_change() -> None:
    """The rest is passed over in silence, though it would be refused for one that is stopped."""
    everything = EditServer(
        ME,
        "s",
        ServerEdit(**SAID, smp=64),
        mounts=(mount("nothing"),),
        nics=(),
        vnc_password="hush",
        tags=("t",),
    )
    given(RUNNING, CreateTags(ME, (NewTag("t", "fleet"),))).when(everything).then(
        Fact("server-s", ServerChanged(definition=replace(BEFORE, name="after", meta={}))),
        Fact("tag-t", ResourceTagged("servers", "s")),
    )


def test_every_field_of_a_stopped_server_can_change() -> None:
    """Then it is refused what cannot be, too."""
    world = given(RUNNING, ChangePower(ME, "s", "stop"))
    world.when(attach()).then(Fact("server-s", ServerChanged(())))
    world.when(attach(mount("nothing"))).then_refused(DriveNotFound, "nothing")
