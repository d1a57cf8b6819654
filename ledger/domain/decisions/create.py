"""Creation of drives and servers that are not clones."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence

from ledger.domain.aggregates.drive import LIBRARY, Drive
from ledger.domain.commands.drives import CreateDrives, FailImage, MarkDriveReady
from ledger.domain.commands.servers import CreateServers
from ledger.domain.context import (
    Change,
    Environment,
    Fact,
    PoolSpace,
    SetVncPassword,
    State,
)
from ledger.domain.decisions.keypairs import check_pubkeys
from ledger.domain.decisions.ownership import visible_drive
from ledger.domain.decisions.placement import place_blank, place_here, pools_to_avoid
from ledger.domain.decisions.tags import set_tags
from ledger.domain.errors.drives import (
    Busy,
    DriveAlreadyMounted,
    DriveBusy,
    DriveNotFound,
    LibraryDrive,
)
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.events.drives import DriveCreated, DriveImageFailed, DriveReady, drive_stream
from ledger.domain.events.servers import Mount, ServerCreated, server_stream
from ledger.domain.quotas import Quotas


def create_drives(
    command: CreateDrives, state: State, environment: Environment
) -> Iterator[Change]:
    """Create drives, all or none; they have no image yet.

    Raise `UnknownStorageType`, `UnknownTag`, `PoolElsewhere` for a drive whose image is sent in
    chunks, and `PoolsFull` if not even a blank image can be made.
    """
    avoid = pools_to_avoid(state, command.avoid, command.owner)
    choose = place_here if command.origin == "chunked" else place_blank
    taken: Counter[str] = Counter()
    for new in command.drives:
        storage_type = new.definition.storage_type
        pool = new.pool or choose(_left(environment.pools(), taken), storage_type, avoid=avoid).name
        taken[pool] += 1
        created = DriveCreated(command.owner, new.definition, pool, command.origin)
        yield Fact(drive_stream(new.drive), created)
        yield from set_tags(state, "drives", new.drive, new.tags, command.owner)


def _left(pools: tuple[PoolSpace, ...], taken: Counter[str]) -> tuple[PoolSpace, ...]:
    """Return the pools without the files that this command has taken already."""
    return tuple(
        pool._replace(free_files=max(0, pool.free_files - taken[pool.name])) for pool in pools
    )


def mark_drive_ready(
    command: MarkDriveReady, state: State, environment: Environment
) -> Iterator[Change]:
    """Record that the image is on disk. Raise `DriveNotFound`, `DriveBusy` if it already was."""
    drive = _waiting_drive(state, command.drive)
    yield Fact(drive_stream(drive.uuid), DriveReady())


def fail_image(command: FailImage, state: State, environment: Environment) -> Iterator[Change]:
    """Record why the image could not be made, once for each reason.

    Raise what `mark_drive_ready` raises.
    """
    drive = _waiting_drive(state, command.drive)
    if drive.failed != command.error:
        yield Fact(drive_stream(drive.uuid), DriveImageFailed(command.error))


def _waiting_drive(state: State, uuid: str) -> Drive:
    drive = state.drive(uuid)
    if drive is None:
        raise DriveNotFound(uuid)
    if drive.ready or drive.origin == "clone":
        raise DriveBusy(uuid, Busy.NOT_WAITING)
    return drive


def create_servers(
    command: CreateServers, state: State, environment: Environment
) -> Iterator[Change]:
    """Create servers, all or none, stopped and with their drives attached.

    Raise `UnknownTag`, and what `check_mountable` and `check_pubkeys` raise.
    """
    for new in command.servers:
        check_pubkeys(new.definition.pubkeys, command.owner, state)
        check_mountable(new.mounts, command.owner, state, environment.quotas)
        created = ServerCreated(command.owner, new.definition, new.mounts, new.nics)
        yield Fact(server_stream(new.server), created)
        yield SetVncPassword(new.server, new.vnc_password)
        yield from set_tags(state, "servers", new.server, new.tags, command.owner)


def check_mountable(
    mounts: Sequence[Mount],
    owner: str,
    state: State,
    quotas: Quotas,
    *,
    had: Container[str] = (),
) -> None:
    """Check that a server may have these mounts; drives that it already `had` need no check.

    Raise `DriveNotFound`, `LibraryDrive` for a disk of the library, or `DriveAlreadyMounted` for a
    disk that does not allow it and is attached to another server, or to this one twice. A drive
    that is still being cloned may be attached. Raise `QuotaExceeded` for one of too many servers.
    """
    for number, mount in enumerate(mounts):
        twice = mount.drive in {earlier.drive for earlier in mounts[:number]}
        if twice or mount.drive not in had:
            drive = visible_drive(state, mount.drive, owner)
            _check_drive(drive, state, twice=twice)
            check_sharing(drive, state, quotas)


def check_sharing(drive: Drive, state: State, quotas: Quotas) -> None:
    """Raise `QuotaExceeded` if as many servers mount the drive as may.

    Its deletion changes all of them. Those of the library are deleted by the operator alone.
    """
    servers = state.relations(drive.uuid).servers
    if drive.owner != LIBRARY and 0 < quotas.servers_per_drive <= len(servers):
        raise QuotaExceeded("servers-per-drive", quotas.servers_per_drive)


def _check_drive(drive: Drive, state: State, *, twice: bool) -> None:
    if drive.definition.media == "cdrom":
        return
    if drive.owner == LIBRARY:
        raise LibraryDrive(drive.uuid)
    if drive.definition.allow_multimount:
        return
    if twice or state.relations(drive.uuid).servers:
        raise DriveAlreadyMounted(drive.uuid)
