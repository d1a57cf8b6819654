"""No decision reveals anything about another account."""

import pytest

from ledger.domain import errors
from ledger.domain.commands import (
    CloneDrive,
    CloneServer,
    Command,
    CreateDrives,
    CreateJob,
    CreateServers,
    DeleteDrives,
    DeleteServers,
    NewDrive,
    NewServer,
    StartAttempt,
    SucceedJob,
)
from ledger.domain.events import Resource
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

ASKED: dict[str, tuple[Command, type[errors.NotFound]]] = {
    "delete drive": (DeleteDrives(ME, ("d",)), errors.DriveNotFound),
    "clone drive": (CloneDrive(ME, "d", "copy", "k"), errors.DriveNotFound),
    "attach drive": (
        CreateServers(ME, (NewServer("t", machine(), (mount("d"),), (), "pw"),)),
        errors.DriveNotFound,
    ),
    "attach cdrom": (
        CreateServers(ME, (NewServer("t", machine(), (mount("cd"),), (), "pw"),)),
        errors.DriveNotFound,
    ),
    "delete server": (DeleteServers(ME, ("s",), "all_drives"), errors.ServerNotFound),
    "clone server": (CloneServer(ME, "s", "copy", "k"), errors.ServerNotFound),
    "sub-job": (CreateJob(ME, "k", "x", parent="j"), errors.JobNotFound),
    "sub-job of one that is over": (
        CreateJob(ME, "k", "x", parent="over"),
        errors.JobNotFound,
    ),
    "job for drive": (
        CreateJob(ME, "k", "x", (Resource("drives", "d", "source"),)),
        errors.DriveNotFound,
    ),
    "job for server": (
        CreateJob(ME, "k", "x", (Resource("servers", "s", "source"),)),
        errors.ServerNotFound,
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
    given(*THEIRS).when(new).then_refused(errors.AlreadyExists, "drive d exists already")
