"""Cloning a server: one command makes a job with a child for each disk, all or nothing."""

import pytest
from msgspec.structs import replace

from ledger.domain.commands.drives import DeleteDrives, MarkDriveReady
from ledger.domain.commands.jobs import FailJob, StartAttempt, SucceedJob
from ledger.domain.commands.servers import CloneServer, DeleteServers, ServerEdit
from ledger.domain.context import CopyVncPassword, DropVncPassword, Fact, SetVncPassword
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.drives import DriveBusy
from ledger.domain.errors.pools import NotMeasured, UnknownStorageType
from ledger.domain.errors.servers import ServerNotFound
from ledger.domain.events.drives import DriveCreated, DriveDeleted, DriveReady
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobCreated,
    JobFailed,
    JobSucceeded,
    Resource,
)
from ledger.domain.events.servers import (
    IpConf,
    Mount,
    Nic,
    ServerChanged,
    ServerCreated,
    ServerDeleted,
)
from tests.support.deciding import History, given
from tests.support.world import (
    GIB,
    ME,
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

NAMED = (Resource("servers", "s", "source"), Resource("servers", "copy", "destination"))
CLONE = CloneServer(ME, "s", "copy", "j")

NICS = (
    Nic("22:99:99:99:99:01", ip_v4_conf=IpConf("static", "1.2.3.4"), firewall_policy="f"),
    Nic("22:99:99:99:99:02", "e1000", vlan="v", boot_order=1),
    Nic(
        "22:99:99:99:99:03",
        ip_v4_conf=IpConf("manual", "1.2.3.5"),
        ip_v6_conf=IpConf("static", "::1"),
    ),
)


def drives(source: str, destination: str) -> tuple[Resource, Resource]:
    return (
        Resource("drives", source, "source"),
        Resource("drives", destination, "destination"),
    )


def test_a_server_is_cloned_with_disks_cdrom_and_nics() -> None:
    """Disks are copied, each by a child job; the cdrom is shared; each nic gets a mac of its own.

    New ids are taken in the order of the mounts: the drive's, then its job's.
    """
    given(
        ready_drive("a", disk("system", boot := 2 * GIB)),
        ready_drive("b", cdrom()),
        ready_drive("c", disk("data"), pool="roomy"),
        server_created(
            "s",
            Mount("c", "virtio", "0:1"),
            Mount("b", "ide", "0:0", boot_order=1),
            Mount("a", "virtio", "0:0", boot_order=2),
            definition=machine("original", meta={"k": "v"}),
            nics=NICS,
        ),
    ).when(CLONE).then(
        Fact("drive-new-1", DriveCreated(ME, disk("system", boot), "fast", "clone")),
        Fact("drive-new-3", DriveCreated(ME, disk("data"), "roomy", "clone")),
        Fact(
            "server-copy",
            ServerCreated(
                ME,
                machine("original", meta={"k": "v"}),
                (
                    Mount("b", "ide", "0:0", boot_order=1),
                    Mount("new-1", "virtio", "0:0", boot_order=2),
                    Mount("new-3", "virtio", "0:1"),
                ),
                (
                    Nic("22:00:00:00:00:01", ip_v4_conf=IpConf("dhcp"), firewall_policy="f"),
                    Nic("22:00:00:00:00:02", "e1000", vlan="v", boot_order=1),
                    Nic(
                        "22:00:00:00:00:03",
                        ip_v4_conf=IpConf("dhcp"),
                        ip_v6_conf=IpConf("dhcp"),
                    ),
                ),
            ),
        ),
        CopyVncPassword("copy", "s"),
        Fact("job-j", JobCreated("server_clone", ME, NAMED, "j")),
        Fact("job-new-2", JobCreated("drive_clone", ME, drives("a", "new-1"), "j", "j", 0)),
        Fact("job-j", ChildAttached("new-2")),
        Fact("job-new-4", JobCreated("drive_clone", ME, drives("c", "new-3"), "j", "j", 1)),
        Fact("job-j", ChildAttached("new-4")),
    )


def test_name_and_password_of_the_copy_can_be_given() -> None:
    """A given password is set, and in no event; what else is given replaces the source's."""
    edit = ServerEdit(name="mine", mem=2 * GIB)
    outcome = given(server_created("s")).when(replace(CLONE, edit=edit, vnc_password="hush"))
    definition = replace(machine("mine"), mem=2 * GIB)
    assert [ServerCreated(ME, definition, (), ())] == outcome.events_of("server-copy")
    assert SetVncPassword("copy", "hush") in outcome.changes
    assert "hush" not in "".join(str(c) for c in outcome.changes if isinstance(c, Fact))


@pytest.mark.parametrize("with_cdrom", [False, True], ids=["bare", "cdrom only"])
def test_a_server_without_disks_is_cloned_at_once(*, with_cdrom: bool) -> None:
    """There is nothing to copy: the job is over in the transaction that begins it."""
    mounts = (mount("cd"),) if with_cdrom else ()
    given(ready_drive("cd", cdrom()), server_created("s", *mounts)).when(CLONE).then(
        Fact("server-copy", ServerCreated(ME, machine(), mounts, ())),
        CopyVncPassword("copy", "s"),
        Fact("job-j", JobCreated("server_clone", ME, NAMED, "j")),
        Fact("job-j", JobSucceeded()),
    )


def test_a_cdrom_without_an_image_does_not_prevent_a_clone() -> None:
    """It is shared and not read."""
    outcome = given(drive_created("cd", cdrom()), server_created("s", mount("cd"))).when(CLONE)
    assert [ServerCreated(ME, machine(), (mount("cd"),), ())] == outcome.events_of("server-copy")


@pytest.mark.parametrize("source", ["nothing", "theirs", "gone"])
def test_only_own_servers_can_be_cloned(source: str) -> None:
    """What never was, belongs to another account, or is deleted, is not found."""
    given(
        server_created("theirs", owner=SOMEBODY_ELSE),
        server_created("gone"),
        DeleteServers(ME, ("gone",)),
    ).when(CloneServer(ME, source, "copy", "j")).then_refused(ServerNotFound, source)


def test_a_server_with_a_disk_that_has_no_image_cannot_be_cloned() -> None:
    """One disk that is not ready refuses the whole clone, of which nothing remains."""
    outcome = given(
        ready_drive("a"), drive_created("b"), server_created("s", mount("a"), mount("b", 1))
    ).when(CLONE)
    outcome.then_refused(DriveBusy, "b")
    streams = ("job-j", "job-new-2", "drive-new-1", "server-copy")
    assert not any(outcome.world.cached_stream(stream).version for stream in streams)


def test_a_server_with_a_disk_that_no_pool_can_take_cannot_be_cloned() -> None:
    """The storage type of each disk must be there."""
    given(ready_drive("a", disk(storage_type="tape")), server_created("s", mount("a"))).when(
        CLONE
    ).then_refused(UnknownStorageType, point="storage_type")


@pytest.mark.parametrize(
    "taken", [CloneServer(ME, "s", "s", "k"), CloneServer(ME, "s", "t", "j")], ids=["server", "job"]
)
def test_the_copy_and_its_job_need_new_uuids(taken: CloneServer) -> None:
    """A taken uuid of either is refused."""
    given(server_created("s"), CLONE).when(taken).then_refused(AlreadyExists)


# How it ends


def cloning(*disks: str) -> list[History]:
    """A server clone whose disks are being copied: drives `new-1`, jobs `new-2`, and so on."""
    jobs = [f"new-{2 * nth + 2}" for nth in range(len(disks))]
    return [
        *(ready_drive(uuid) for uuid in disks),
        server_created("s", *(mount(uuid, nth) for nth, uuid in enumerate(disks))),
        CLONE,
        *(StartAttempt(job, 1, "w") for job in jobs),
    ]


def test_the_first_disk_to_be_copied_does_not_end_the_job() -> None:
    """The parent learns of it and continues."""
    given(cloning("a", "b")).when(SucceedJob("new-2", 1)).then(
        Fact("job-new-2", JobSucceeded()),
        Fact("drive-new-1", DriveReady()),
        Fact("job-j", ChildEnded("new-2", "success")),
    )


def test_the_last_disk_to_be_copied_ends_the_job() -> None:
    """Whichever of them it is."""
    given(cloning("a", "b"), SucceedJob("new-4", 1)).when(SucceedJob("new-2", 1)).then(
        Fact("job-new-2", JobSucceeded()),
        Fact("drive-new-1", DriveReady()),
        Fact("job-j", ChildEnded("new-2", "success")),
        Fact("job-j", JobSucceeded()),
    )


def test_a_disk_that_fails_is_removed_while_the_others_go_on() -> None:
    """The new server stays, without it, until all children have ended."""
    given(cloning("a", "b")).when(FailJob("new-2", 1, "disk on fire")).then(
        Fact("job-new-2", JobFailed("disk on fire")),
        Fact("server-copy", ServerChanged((mount("new-3", 1),))),
        Fact("drive-new-1", DriveDeleted()),
        Fact("job-j", ChildEnded("new-2", "failed")),
    )


def test_a_failed_disk_fails_the_job_once_all_have_ended_and_all_that_was_made_goes() -> None:
    """The new server and the disks that were copied well are removed in the same transaction."""
    given(cloning("a", "b", "c"), FailJob("new-2", 1, "on fire"), SucceedJob("new-4", 1)).when(
        SucceedJob("new-6", 1)
    ).then(
        Fact("job-new-6", JobSucceeded()),
        Fact("drive-new-5", DriveReady()),
        Fact("job-j", ChildEnded("new-6", "success")),
        Fact("job-j", JobFailed("sub-job new-2 failed")),
        Fact("server-copy", ServerDeleted()),
        DropVncPassword("copy"),
        Fact("drive-new-3", DriveDeleted()),
        Fact("drive-new-5", DriveDeleted()),
    )


def test_the_last_disk_that_fails_fails_the_job() -> None:
    """Failure of the only disk takes everything along."""
    given(cloning("a")).when(FailJob("new-2", 1, "on fire")).then(
        Fact("job-new-2", JobFailed("on fire")),
        Fact("server-copy", ServerChanged(())),
        Fact("drive-new-1", DriveDeleted()),
        Fact("job-j", ChildEnded("new-2", "failed")),
        Fact("job-j", JobFailed("sub-job new-2 failed")),
        Fact("server-copy", ServerDeleted()),
        DropVncPassword("copy"),
    )


def test_a_failed_clone_leaves_the_source_as_it_was_and_free() -> None:
    """The source server and its disks can be deleted, and the shared cdrom is still there."""
    world = given(
        ready_drive("cd", cdrom()),
        ready_drive("a"),
        server_created("s", mount("a", 0), mount("cd", 1)),
        CLONE,
        StartAttempt("new-2", 1, "w"),
        FailJob("new-2", 1, "on fire"),
    )
    assert {"s"} == world.world.relations("cd").servers
    world.when(DeleteServers(ME, ("s",), "all_drives")).then(
        Fact("server-s", ServerDeleted()),
        DropVncPassword("s"),
        Fact("drive-a", DriveDeleted()),
        Fact("drive-cd", DriveDeleted()),
    )


def test_a_copied_disk_may_be_deleted_before_the_clone_is_over() -> None:
    """It is detached from the new server, and a later failure does not delete it again."""
    world = given(cloning("a", "b"), SucceedJob("new-2", 1), DeleteDrives(ME, ("new-1",)))
    outcome = world.when(FailJob("new-4", 1, "on fire"))
    assert outcome.events_of("drive-new-1") == []
    assert [DriveDeleted()] == outcome.events_of("drive-new-3")
    assert [ServerChanged(()), ServerDeleted()] == outcome.events_of("server-copy")


def test_a_server_whose_new_disks_are_ready_can_be_cloned_in_turn() -> None:
    """A finished copy is a server like any other."""
    world = given(cloning("a"), SucceedJob("new-2", 1))
    world.when(MarkDriveReady("new-1")).then_refused(DriveBusy)
    outcome = world.when(CloneServer(ME, "copy", "copy2", "k"))
    assert [JobCreated("drive_clone", ME, drives("new-1", "new-3"), "k", "k", 0)] == (
        outcome.events_of("job-new-4")
    )


def test_a_clone_waits_until_all_its_images_are_measured() -> None:
    """All at once, before anything is made: the writer asks no pool. A cdrom is not copied."""
    foreseen = Foreseen()
    world = given(
        ready_drive("a", pool="fast"),
        ready_drive("b", pool="roomy"),
        ready_drive("cd", cdrom()),
        server_created("s", mount("a"), mount("cd", 1), mount("b", 2)),
        environment=foreseen,
    )
    refusal = world.when(CLONE, images={}).refusal
    assert isinstance(refusal, NotMeasured)
    assert refusal.images == (("fast", "a"), ("roomy", "b"))
    assert foreseen.new_id() == "new-1"
