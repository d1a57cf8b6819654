"""Deletion of drives and servers: on command, or because the job that made them failed."""

from collections.abc import Iterator

from ledger.domain.aggregates.drive import LIBRARY, Drive
from ledger.domain.aggregates.server import Server
from ledger.domain.commands.drives import DeleteDrives
from ledger.domain.commands.servers import DeleteServers, Recurse
from ledger.domain.context import Change, DropVncPassword, Environment, Fact, State
from ledger.domain.decisions.ownership import own_drive, own_server
from ledger.domain.errors.drives import Busy, DriveBusy
from ledger.domain.errors.servers import ServerBusy, ServerRunning
from ledger.domain.events.drives import DriveDeleted, drive_stream
from ledger.domain.events.servers import Mount, ServerChanged, ServerDeleted, server_stream
from ledger.domain.events.tags import ResourceUntagged, tag_stream

_MEDIA_OF: dict[Recurse, frozenset[str]] = {
    "none": frozenset(),
    "disks": frozenset({"disk"}),
    "cdroms": frozenset({"cdrom"}),
    "all_drives": frozenset({"disk", "cdrom"}),
}


def delete_drives(
    command: DeleteDrives, state: State, environment: Environment
) -> Iterator[Change]:
    """Delete drives, all or none; each is detached from the servers that mount it.

    Raise `DriveNotFound`, `DriveBusy` if a running job needs one, `ServerRunning` if a running
    server mounts one.
    """
    for uuid in dict.fromkeys(command.drives):
        yield from remove_drive(state, _idle_drive(state, uuid, command.owner))


def delete_servers(
    command: DeleteServers, state: State, environment: Environment
) -> Iterator[Change]:
    """Delete servers, and those of their drives that `recurse` names.

    The library's drives stay. Raise `ServerNotFound`, `ServerRunning`, `ServerBusy` if a running
    job needs one, and for drives what `delete_drives` raises.
    """
    for uuid in dict.fromkeys(command.servers):
        server = own_server(state, uuid, command.owner)
        if state.relations(uuid).running_jobs:
            raise ServerBusy(uuid)
        if server.power == "running":
            raise ServerRunning(uuid)
        yield from remove_server(state, server)
        for mount in server.mounts:
            yield from _delete_mounted(state, mount, command)


def _delete_mounted(state: State, mount: Mount, command: DeleteServers) -> Iterator[Change]:
    drive = state.drive(mount.drive)
    if drive is None or drive.owner == LIBRARY:
        return  # gone with another server of the same command; or not ours to delete
    if drive.definition.media in _MEDIA_OF[command.recurse]:
        yield from remove_drive(state, _idle_drive(state, drive.uuid, command.owner))


def _idle_drive(state: State, uuid: str, owner: str) -> Drive:
    drive = own_drive(state, uuid, owner)
    check_not_in_job(state, drive)
    check_not_running(state, drive)
    return drive


def check_not_in_job(state: State, drive: Drive) -> None:
    """Raise `DriveBusy` if a running job needs the drive."""
    if state.relations(drive.uuid).running_jobs:
        raise DriveBusy(drive.uuid, Busy.IN_JOB)


def check_not_running(state: State, drive: Drive) -> None:
    """Raise `ServerRunning` if a running server mounts the drive."""
    server = running_server(state, drive)
    if server is not None:
        raise ServerRunning(server, drive=drive.uuid)


def running_server(state: State, drive: Drive) -> str | None:
    """Return a running server that mounts the drive, if there is one."""
    for uuid in sorted(state.relations(drive.uuid).servers):
        server = state.server(uuid)
        if server is not None and server.power == "running":
            return uuid
    return None


def remove_drive(state: State, drive: Drive) -> Iterator[Change]:
    """Detach the drive from all servers, remove its tags and delete it."""
    for uuid in sorted(state.relations(drive.uuid).servers):
        server = state.server(uuid)
        assert server is not None, f"drive {drive.uuid} is mounted by a server that is gone"
        left = tuple(mount for mount in server.mounts if mount.drive != drive.uuid)
        yield Fact(server_stream(uuid), ServerChanged(mounts=left))
    yield from _untag(state, drive.uuid)
    yield Fact(drive_stream(drive.uuid), DriveDeleted())


def _untag(state: State, uuid: str) -> Iterator[Change]:
    for tag in sorted(state.relations(uuid).tags):
        yield Fact(tag_stream(tag), ResourceUntagged(uuid))


def remove_server(state: State, server: Server) -> Iterator[Change]:
    """Delete the server, which no longer mounts its drives."""
    yield from _untag(state, server.uuid)
    yield Fact(server_stream(server.uuid), ServerDeleted())
    yield DropVncPassword(server.uuid)
