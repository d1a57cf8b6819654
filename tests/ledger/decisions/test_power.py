"""Starting and stopping servers, and what is refused while a server runs."""

from typing import get_args

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.aggregates.server import Server
from ledger.domain.commands.drives import (
    CloneDrive,
    CompleteResize,
    DeleteDrives,
    MarkDriveReady,
    ResizeDrive,
)
from ledger.domain.commands.jobs import CancelJob, FailJob, StartAttempt, SucceedJob
from ledger.domain.commands.servers import (
    ChangePower,
    CloneServer,
    CreateServers,
    DeleteServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.context import DropVncPassword, Fact
from ledger.domain.errors.drives import DriveBusy
from ledger.domain.errors.servers import ServerNotFound, ServerRunning, ServerStopped
from ledger.domain.events.drives import DriveDeleted
from ledger.domain.events.jobs import JobSucceeded
from ledger.domain.events.servers import (
    Mount,
    PowerAction,
    ServerDefinition,
    ServerDeleted,
    ServerPowerChanged,
)
from tests.support.deciding import History, Outcome, given
from tests.support.world import (
    GIB,
    HOSTS,
    ME,
    SOMEBODY_ELSE,
    START,
    cdrom,
    drive_created,
    machine,
    mount,
    ready_drive,
    server_created,
)

SERVER = (ready_drive("a"), server_created("s", mount("a")))
RUNNING = (SERVER, Fact("server-s", ServerPowerChanged("start", "running", "host-b")))
ACTIONS: tuple[PowerAction, ...] = get_args(PowerAction)


def server_after(outcome: Outcome) -> Server:
    server = outcome.world.server("s")
    assert isinstance(server, Server)
    return server


def test_a_started_server_runs_on_a_host_since_that_moment() -> None:
    """One of the hosts there are; which, its uuid says."""
    outcome = given(SERVER).when(ChangePower(ME, "s", "start"))
    server = server_after(outcome)
    outcome.then(Fact("server-s", ServerPowerChanged("start", "running", server.host)))
    assert server.host in HOSTS
    assert server.active_since is not None
    assert server.active_since > START


@pytest.mark.parametrize("action", ["stop", "shutdown"])
def test_a_stopped_server_has_no_host(action: PowerAction) -> None:
    """At once: there is no guest to ask."""
    outcome = given(RUNNING).when(ChangePower(ME, "s", action))
    outcome.then(Fact("server-s", ServerPowerChanged(action, "stopped")))
    server = server_after(outcome)
    assert (server.power, server.host, server.active_since) == ("stopped", None, None)


def test_a_restarted_server_stays_on_its_host() -> None:
    """But it has been active since the restart only."""
    world = given(RUNNING)
    outcome = world.when(ChangePower(ME, "s", "restart"))
    outcome.then(Fact("server-s", ServerPowerChanged("restart", "running", "host-b")))
    before, after = world.world.server("s"), server_after(outcome)
    assert isinstance(before, Server)
    assert before.active_since is not None
    assert after.active_since is not None
    assert before.active_since < after.active_since


def test_a_running_server_cannot_be_started() -> None:
    """It runs already."""
    given(RUNNING).when(ChangePower(ME, "s", "start")).then_refused(ServerRunning, "s")


@pytest.mark.parametrize("action", sorted({*ACTIONS} - {"start"}))
@pytest.mark.parametrize("history", [SERVER, (RUNNING, ChangePower(ME, "s", "stop"))])
def test_a_stopped_server_can_only_be_started(history: History, action: PowerAction) -> None:
    """One that never ran, and one that runs no more."""
    given(history).when(ChangePower(ME, "s", action)).then_refused(ServerStopped, "s")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_only_own_servers_can_be_switched(uuid: str, action: PowerAction) -> None:
    """What never was, belongs to another account, or is deleted, is not found."""
    given(
        server_created("theirs", owner=SOMEBODY_ELSE),
        server_created("gone"),
        DeleteServers(ME, ("gone",)),
    ).when(ChangePower(ME, uuid, action)).then_refused(ServerNotFound, uuid)


NOT_READY: dict[str, tuple[History, History]] = {
    "a new drive": (drive_created("b"), MarkDriveReady("b")),
    "a drive that grows": (
        (ready_drive("b"), ResizeDrive(ME, "b", 2 * GIB)),
        CompleteResize("b"),
    ),
}


@pytest.mark.parametrize("why", NOT_READY)
def test_a_server_is_not_started_before_its_drives_are_ready(why: str) -> None:
    """Its images must be complete, and at rest."""
    before, ready = NOT_READY[why]
    server = server_created("s", mount("b"))
    start = ChangePower(ME, "s", "start")
    given(before, server).when(start).then_refused(DriveBusy, "b")
    assert given(before, server, ready).when(start).refusal is None


def test_a_cloned_server_is_not_started_before_its_disks_are_copied() -> None:
    """Though it is there from the beginning; its source may run meanwhile."""
    world = given(SERVER, CloneServer(ME, "s", "copy", "j"))
    world.when(ChangePower(ME, "copy", "start")).then_refused(DriveBusy, "new-1")
    assert world.when(ChangePower(ME, "s", "start")).refusal is None


def test_a_server_with_a_library_cdrom_can_be_started() -> None:
    """Many servers run with the same one."""
    given(
        ready_drive("iso", cdrom(), owner=LIBRARY),
        server_created("s", mount("iso")),
        server_created("t", mount("iso")),
        ChangePower(ME, "t", "start"),
    ).when(ChangePower(ME, "s", "start")).then(
        Fact("server-s", ServerPowerChanged("start", "running", "host-b"))
    )


# A clone that starts by itself

STARTS = machine(auto_start=True)


def cloned(*mounts: Mount, definition: ServerDefinition = STARTS) -> History:
    """A server whose clone `copy` has a disk `new-1` that a worker copies by the job `new-2`."""
    source = server_created("s", mount("a"), *mounts, definition=definition)
    return (
        ready_drive("a"),
        source,
        CloneServer(ME, "s", "copy", "j"),
        StartAttempt("new-2", 1, "w"),
    )


def is_started(outcome: Outcome) -> bool:
    copy = outcome.world.server("copy")
    assert isinstance(copy, Server)
    return copy.power == "running"


SUCCEED = SucceedJob("new-2", 1)


def test_a_clone_with_auto_start_starts_when_its_job_succeeds() -> None:
    """In the same transaction, so it is done once, whatever dies before or after."""
    outcome = given(cloned()).when(SUCCEED)
    copy = outcome.world.server("copy")
    assert isinstance(copy, Server)
    assert (copy.power, copy.host in HOSTS) == ("running", True)
    assert outcome.changes[-2:] == [
        Fact("job-j", JobSucceeded()),
        Fact("server-copy", ServerPowerChanged("start", "running", copy.host)),
    ]


def test_a_clone_without_disks_starts_at_once() -> None:
    """Its job has succeeded in the transaction that makes it."""
    source = server_created("s", definition=STARTS)
    assert is_started(given(source).when(replace(COPY, edit=ServerEdit(name="x"))))
    assert not is_started(given(source).when(replace(COPY, edit=ServerEdit(auto_start=False))))


COPY = CloneServer(ME, "s", "copy", "j")


def test_auto_start_counts_as_it_is_when_the_job_succeeds() -> None:
    """It may be set or taken back meanwhile."""
    off, on = (EditServer(ME, "copy", ServerEdit(auto_start=wanted)) for wanted in (False, True))
    assert not is_started(given(cloned(), off).when(SUCCEED))
    assert is_started(given(cloned(definition=machine()), on).when(SUCCEED))
    assert not is_started(given(cloned(definition=machine())).when(SUCCEED))


def test_a_clone_that_does_not_succeed_does_not_start() -> None:
    """It is removed."""
    for end in (FailJob("new-2", 1, "no"), CancelJob(ME, "j")):
        outcome = given(cloned()).when(end)
        assert outcome.world.server("copy") is None
        assert outcome.events_of("server-copy")[-1] == ServerDeleted()


def test_a_clone_that_cannot_run_stays_stopped() -> None:
    """Because of a drive without an image; the growth of one is a moment, and does not matter."""
    for other, starts in (
        (drive_created("b", cdrom()), False),
        ((ready_drive("b", cdrom()), ResizeDrive(ME, "b", 2 * GIB)), True),
    ):
        outcome = given(other, cloned(mount("b", 1))).when(SUCCEED)
        assert is_started(outcome) == starts


# What may not be done to a server that runs


@pytest.mark.parametrize("recurse", ["none", "all_drives"])
def test_a_running_server_cannot_be_deleted(recurse: str) -> None:
    """Nor any other together with it."""
    world = given(RUNNING, server_created("t"))
    world.when(DeleteServers(ME, ("t", "s"), recurse)).then_refused(ServerRunning, "s")
    given(RUNNING, ChangePower(ME, "s", "shutdown")).when(DeleteServers(ME, ("s",))).then(
        Fact("server-s", ServerDeleted()), DropVncPassword("s")
    )


def test_a_drive_of_a_running_server_cannot_be_deleted() -> None:
    """Neither by itself nor with another server that mounts it."""
    shared = (
        ready_drive("c", cdrom()),
        server_created("s", mount("c")),
        server_created("t", mount("c")),
        ChangePower(ME, "s", "start"),
    )
    given(RUNNING).when(DeleteDrives(ME, ("a",))).then_refused(ServerRunning, "s")
    given(shared).when(DeleteServers(ME, ("t",), "cdroms")).then_refused(ServerRunning, "s")


def test_a_running_server_and_its_drive_can_be_cloned() -> None:
    """As on the public API; the copy does not run."""
    assert given(RUNNING).when(CloneDrive(ME, "a", "copy", "j")).refusal is None
    outcome = given(RUNNING).when(CloneServer(ME, "s", "copy", "j"))
    copy = outcome.world.server("copy")
    assert isinstance(copy, Server)
    assert (copy.power, copy.host) == ("stopped", None)


def test_a_server_is_deleted_with_its_drives_but_not_with_the_librarys() -> None:
    """`recurse` reaches what is one's own."""
    given(
        ready_drive("iso", cdrom(), owner=LIBRARY),
        ready_drive("c", cdrom()),
        server_created("s", mount("iso"), mount("c", 1)),
    ).when(DeleteServers(ME, ("s",), "all_drives")).then(
        Fact("server-s", ServerDeleted()),
        DropVncPassword("s"),
        Fact("drive-c", DriveDeleted()),
    )


def test_a_new_server_does_not_run() -> None:
    """It is started by a command of its own."""
    new = NewServer("t", machine(), (), (), "hush")
    server = given(CreateServers(ME, (new,))).world.server("t")
    assert isinstance(server, Server)
    assert (server.power, server.host, server.active_since) == ("stopped", None, None)
