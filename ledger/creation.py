"""The beginning of drives and servers that are not clones."""

from collections.abc import Iterator

from ledger import errors
from ledger.commands import CreateDrives, CreateServers, MarkDriveReady
from ledger.drive import LIBRARY
from ledger.events import (
    DriveCreated,
    DriveReady,
    Mount,
    ServerCreated,
    drive_stream,
    server_stream,
)
from ledger.placement import place, pools_to_avoid
from ledger.world import Change, Circumstances, Fact, SetVncPassword, World


def create_drives(
    command: CreateDrives, world: World, circumstances: Circumstances
) -> Iterator[Change]:
    """Makes drives, all or none; they have no image yet. Raises `UnknownStorageType`."""
    avoid = pools_to_avoid(world, command.avoid, command.owner)
    for new in command.drives:
        storage_type = new.definition.storage_type
        pool = new.pool or place(circumstances.pools(), storage_type, avoid=avoid).name
        created = DriveCreated(command.owner, new.definition, pool, command.origin)
        yield Fact(drive_stream(new.drive), created)


def mark_drive_ready(command: MarkDriveReady, world: World) -> Iterator[Change]:
    """The drive's image is on disk. Raises `DriveNotFound`, `DriveBusy` if it is ready already."""
    drive = world.drive(command.drive)
    if drive is None:
        raise errors.DriveNotFound(command.drive)
    if drive.ready or drive.origin == "clone":
        raise errors.DriveBusy(f"drive {command.drive} is not waiting for an image")
    yield Fact(drive_stream(drive.uuid), DriveReady())


def create_servers(command: CreateServers, world: World) -> Iterator[Change]:
    """Makes servers, all or none, stopped and with their drives attached.

    Raises what `check_mountable` raises.
    """
    for new in command.servers:
        for nth, mount in enumerate(new.mounts):
            earlier = {other.drive for other in new.mounts[:nth]}
            check_mountable(mount, command.owner, world, twice=mount.drive in earlier)
        created = ServerCreated(command.owner, new.definition, new.mounts, new.nics)
        yield Fact(server_stream(new.server), created)
        yield SetVncPassword(new.server, new.vnc_password)


def check_mountable(mount: Mount, owner: str, world: World, *, twice: bool = False) -> None:
    """That the drive may be attached to one more server; to the same one `twice`, it may not.

    Raises `DriveNotFound`, `LibraryDrive` for a disk of the library, or `DriveAlreadyMounted` for a
    disk that is attached to a server and does not allow it twice. A drive that is still being
    cloned may be attached.
    """
    drive = world.drive(mount.drive)
    if drive is None or not drive.visible_to(owner):
        raise errors.DriveNotFound(mount.drive)
    if drive.definition.media == "cdrom":
        return
    if drive.owner == LIBRARY:
        raise errors.LibraryDrive(
            f"drive {drive.uuid} is a disk of the library: clone it", point="drives"
        )
    if drive.definition.allow_multimount:
        return
    if twice or world.relations(drive.uuid).servers:
        raise errors.DriveAlreadyMounted(
            f"drive {drive.uuid} is attached to a server already", point="drives"
        )
