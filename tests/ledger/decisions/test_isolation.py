"""No decision reveals anything about another account."""

import pytest

from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, CreateDrives, DeleteDrives, NewDrive
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob
from ledger.domain.commands.servers import CloneServer, CreateServers, DeleteServers, NewServer
from ledger.domain.errors import AlreadyExists, NotFound
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.errors.servers import ServerNotFound
from ledger.domain.events.jobs import Resource
from tests.support.deciding import given
from tests.support.world import (
    ME,
    SOMEBODY_ELSE,
    cdrom,
    disk,
    machine,
    mount,
    ready_drive,
    server_created,
)

THEIRS = (
    ready_drive("d", owner=SOMEBODY_ELSE),
    ready_drive("cd", cdrom(), owner=SOMEBODY_ELSE),
    server_created("s", mount("d"), owner=SOMEBODY_ELSE),
    CreateJob(SOMEBODY_ELSE, "j", "x"),
    CreateJob(SOMEBODY_ELSE, "over", "x"),
    StartAttempt("over", 1, "w"),
    SucceedJob("over", 1),
)

ASKED: dict[str, tuple[Command, type[NotFound]]] = {
    "delete drive": (DeleteDrives(ME, ("d",)), DriveNotFound),
    "clone drive": (CloneDrive(ME, "d", "copy", "k"), DriveNotFound),
    "attach drive": (
        CreateServers(ME, (NewServer("t", machine(), (mount("d"),), (), "pw"),)),
        DriveNotFound,
    ),
    "attach cdrom": (
        CreateServers(ME, (NewServer("t", machine(), (mount("cd"),), (), "pw"),)),
        DriveNotFound,
    ),
    "delete server": (DeleteServers(ME, ("s",), "all_drives"), ServerNotFound),
    "clone server": (CloneServer(ME, "s", "copy", "k"), ServerNotFound),
    "sub-job": (CreateJob(ME, "k", "x", parent="j"), JobNotFound),
    "sub-job of one that is over": (
        CreateJob(ME, "k", "x", parent="over"),
        JobNotFound,
    ),
    "job for drive": (
        CreateJob(ME, "k", "x", (Resource("drives", "d", "source"),)),
        DriveNotFound,
    ),
    "job for server": (
        CreateJob(ME, "k", "x", (Resource("servers", "s", "source"),)),
        ServerNotFound,
    ),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_belongs_to_another_account_does_not_exist(asked: str) -> None:
    """The refusal is, word for word, that for an unknown resource."""
    command, refusal = ASKED[asked]
    foreign = given(*THEIRS).when(command)
    foreign.then_refused(refusal)
    unknown = given().when(command)
    unknown.then_refused(refusal, str(foreign.refusal))


def test_another_accounts_uuid_is_taken_too() -> None:
    """Uuids are unique over all accounts; the refusal says no more than that."""
    new = CreateDrives(ME, (NewDrive("d", disk()),), "blank")
    given(*THEIRS).when(new).then_refused(AlreadyExists, "drive d exists already")
