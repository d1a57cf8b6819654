"""The end of drives and servers: on command, or because the job that made them failed."""

from collections.abc import Iterator

from ledger import errors
from ledger.commands import DeleteDrives, DeleteServers, Recurse
from ledger.drive import Drive
from ledger.events import (
    DriveDeleted,
    Mount,
    ServerChanged,
    ServerDeleted,
    drive_stream,
    server_stream,
)
from ledger.server import Server
from ledger.world import Change, DropVncPassword, Fact, World

_MEDIA_OF: dict[Recurse, frozenset[str]] = {
    "none": frozenset(),
    "disks": frozenset({"disk"}),
    "cdroms": frozenset({"cdrom"}),
    "all_drives": frozenset({"disk", "cdrom"}),
}


def delete_drives(command: DeleteDrives, world: World) -> Iterator[Change]:
    """Deletes the drives, all or none; each is detached from the servers that mount it.

    Raises `DriveNotFound`, or `DriveBusy` while a running job needs one.
    """
    for uuid in dict.fromkeys(command.drives):
        yield from remove_drive(world, _idle_drive(world, uuid, command.owner))


def delete_servers(command: DeleteServers, world: World) -> Iterator[Change]:
    """Deletes the servers, and the drives they mount as far as `recurse` says.

    Raises `ServerNotFound`, `ServerBusy` while a running job needs one, `DriveBusy` likewise.
    """
    for uuid in dict.fromkeys(command.servers):
        server = world.server(uuid)
        if server is None or server.owner != command.owner:
            raise errors.ServerNotFound(uuid)
        if world.relations(uuid).running_jobs:
            raise errors.ServerBusy(f"server {uuid} is needed by a running job")
        yield from remove_server(server)
        for mount in server.mounts:
            yield from _delete_mounted(world, mount, command)


def _delete_mounted(world: World, mount: Mount, command: DeleteServers) -> Iterator[Change]:
    drive = world.drive(mount.drive)
    if drive is None:
        return  # another server of the same command mounted it too
    if drive.definition.media in _MEDIA_OF[command.recurse]:
        yield from remove_drive(world, _idle_drive(world, drive.uuid, command.owner))


def _idle_drive(world: World, uuid: str, owner: str) -> Drive:
    drive = world.drive(uuid)
    if drive is None or drive.owner != owner:
        raise errors.DriveNotFound(uuid)
    if world.relations(uuid).running_jobs:
        raise errors.DriveBusy(f"drive {uuid} is needed by a running job")
    return drive


def remove_drive(world: World, drive: Drive) -> Iterator[Change]:
    """Detaches the drive everywhere and deletes it."""
    for uuid in sorted(world.relations(drive.uuid).servers):
        server = world.server(uuid)
        assert server is not None, f"drive {drive.uuid} is mounted by a server that is gone"
        left = tuple(mount for mount in server.mounts if mount.drive != drive.uuid)
        yield Fact(server_stream(uuid), ServerChanged(left))
    yield Fact(drive_stream(drive.uuid), DriveDeleted())


def remove_server(server: Server) -> Iterator[Change]:
    """Deletes the server; its drives are mounted by it no longer."""
    yield Fact(server_stream(server.uuid), ServerDeleted())
    yield DropVncPassword(server.uuid)
