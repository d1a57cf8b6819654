"""Clones of drives and servers: one command is one transaction, so a clone is begun whole."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from msgspec.structs import replace

from ledger.domain.aggregates.drive import LIBRARY, Drive, round_up
from ledger.domain.aggregates.server import Server
from ledger.domain.commands.drives import CloneDrive
from ledger.domain.commands.servers import CloneServer
from ledger.domain.context import (
    Change,
    CopyVncPassword,
    Environment,
    Fact,
    ImageData,
    PoolSpace,
    SetVncPassword,
    State,
)
from ledger.domain.decisions.change import edited_definition
from ledger.domain.decisions.create import check_sharing
from ledger.domain.decisions.jobs import begin_job, end_in_success
from ledger.domain.decisions.naming import clone_name
from ledger.domain.decisions.ownership import own_server, visible_drive
from ledger.domain.decisions.placement import Crowded, place, pools_to_avoid
from ledger.domain.decisions.room import with_room
from ledger.domain.decisions.tags import set_tags
from ledger.domain.errors.drives import SizeTooSmall
from ledger.domain.errors.pools import PoolsApart
from ledger.domain.events.drives import DriveCreated, DriveDefinition, drive_stream
from ledger.domain.events.jobs import Resource
from ledger.domain.events.servers import IpConf, Mount, Nic, ServerCreated, server_stream
from ledger.domain.quotas import Holding, Kind, check_quota


def clone_drive(command: CloneDrive, state: State, environment: Environment) -> Iterator[Change]:
    """Create a drive with the source's properties, where the command names none, and its job.

    The source may be the library's. Raise `DriveNotFound`, `DriveBusy` if the source has no
    complete image or is being resized, `SizeTooSmall`, `UnknownStorageType`, `UnknownTag`,
    `PoolsApart`, `PoolsFull`.
    """
    source = visible_drive(state, command.source, command.owner)
    copies = _Copies.of(command.owner, [source], command.avoid, state, environment)
    yield from copies.create_drive(
        source, _define_clone(command, source, state), command.destination
    )
    yield from set_tags(state, "drives", command.destination, command.tags, command.owner)
    yield from copies.begin_job(command.job, source, command.destination)


def clone_server(command: CloneServer, state: State, environment: Environment) -> Iterator[Change]:
    """Create a server with copies of the source's disks, and a job with a child for each of them.

    A cdrom is shared, not copied. The job of a server without disks succeeds at once. Raise
    `ServerNotFound`, `CpuTooLow`, `UnknownKeypair`, `UnknownTag`, and for the disks what
    `clone_drive` raises.
    """
    source = own_server(state, command.source, command.owner)
    drives = [_mounted(state, source, mount) for mount in source.mounts]
    disks = [drive for drive in drives if drive.definition.media != "cdrom"]
    _check_room(command.owner, len(disks), state, environment)
    copies = _Copies.of(command.owner, disks, command.avoid, state, environment)
    mounts: list[Mount] = []
    made: list[tuple[Drive, str, str]] = []
    for mount, drive in zip(source.mounts, drives, strict=True):
        if drive.definition.media == "cdrom":
            check_sharing(drive, state, environment.quotas)
            mounts.append(mount)
            continue
        copy, job = environment.new_id(), environment.new_id()
        named = replace(
            drive.definition, name=_name_clone(drive.definition.name, state, command.owner)
        )
        yield from copies.create_drive(drive, named, copy)
        mounts.append(replace(mount, drive=copy))
        made.append((drive, copy, job))
    yield from _create_server(command, source, tuple(mounts), state, environment)
    yield from set_tags(state, "servers", command.destination, _tags(state, command), command.owner)
    yield from begin_job(
        state,
        command.job,
        "server_clone",
        owner=command.owner,
        resources=(
            Resource("servers", source.uuid, "source"),
            Resource("servers", command.destination, "destination"),
        ),
    )
    for drive, copy, job in made:
        yield from copies.begin_job(job, drive, copy, parent=command.job)
    if not made:
        whole = state.job(command.job)
        assert whole is not None
        yield from end_in_success(state, environment, whole)


def _mounted(state: State, server: Server, mount: Mount) -> Drive:
    drive = state.drive(mount.drive)
    assert drive is not None, f"server {server.uuid} mounts a drive that is gone"
    return drive


def _check_room(owner: str, disks: int, state: State, environment: Environment) -> None:
    """Refuse a clone beyond the owner's quotas before any of it is made: making it takes long."""
    jobs = disks + 1
    wanted: tuple[tuple[Kind, int], ...] = (
        ("servers", 1),
        ("drives", disks),
        ("jobs-running", jobs),
        ("jobs-kept", jobs),
    )
    for kind, more in wanted:
        check_quota(Holding(owner, kind), state, environment.quotas, more)


def _name_clone(name: str, state: State, owner: str) -> str:
    """Return the name of a clone of something with this name."""
    return clone_name(name, state.profile(owner).clone_naming, state.now)


def _tags(state: State, command: CloneServer) -> tuple[str, ...]:
    """Return the server's tags, its source's if none are given; a cloned disk has none."""
    if command.tags is not None:
        return command.tags
    return tuple(sorted(state.relations(command.source).tags))


def _create_server(
    command: CloneServer,
    source: Server,
    mounts: tuple[Mount, ...],
    state: State,
    environment: Environment,
) -> Iterator[Change]:
    named = replace(
        source.definition, name=_name_clone(source.definition.name, state, command.owner)
    )
    definition = edited_definition(named, command.edit, command.owner, state)
    nics = tuple(_clone_nic(nic, environment.new_mac()) for nic in source.nics)
    created = ServerCreated(command.owner, definition, mounts, nics)
    yield Fact(server_stream(command.destination), created)
    if command.vnc_password is None:
        yield CopyVncPassword(command.destination, source.uuid)
    else:
        yield SetVncPassword(command.destination, command.vnc_password)


def _clone_nic(nic: Nic, mac: str) -> Nic:
    """Return the nic with a mac of its own; addresses are not copied but come by DHCP."""
    dhcp = IpConf("dhcp")
    return replace(
        nic,
        mac=mac,
        ip_v4_conf=dhcp if nic.ip_v4_conf else None,
        ip_v6_conf=dhcp if nic.ip_v6_conf else None,
    )


def _define_clone(command: CloneDrive, source: Drive, state: State) -> DriveDefinition:
    """Return the definition of the clone: what the command says, else the source's."""
    size = source.definition.size if command.size is None else command.size
    if size < source.definition.size:
        raise SizeTooSmall("source drive")
    name = command.name
    if name is None:
        name = _name_clone(source.definition.name, state, command.owner)
    meta = command.meta
    if source.owner == LIBRARY and meta is not None:
        meta = {**source.definition.meta, **meta}
    given = {
        "name": name,
        "media": command.media,
        "storage_type": command.storage_type,
        "meta": meta,
        "affinities": command.affinities,
        "allow_multimount": command.allow_multimount,
    }
    changed = {field: value for field, value in given.items() if value is not None}
    return replace(source.definition, size=round_up(size), **changed)


class _Copies(NamedTuple):
    """Copies for one account: their drives and their jobs."""

    owner: str
    data: ImageData
    avoid: Crowded
    state: State
    environment: Environment

    @classmethod
    def of(
        cls,
        owner: str,
        sources: Sequence[Drive],
        avoid: tuple[str, ...],
        state: State,
        environment: Environment,
    ) -> Self:
        """Raise `DriveBusy` unless all sources have a complete image, and `NotMeasured`."""
        for source in sources:
            source.check_complete()
        data = state.data_bytes(sources)
        return cls(owner, data, pools_to_avoid(state, avoid, owner), state, environment)

    def create_drive(
        self, source: Drive, definition: DriveDefinition, destination: str
    ) -> Iterator[Change]:
        pool = self._pool(source, definition.storage_type)
        created = DriveCreated(self.owner, definition, pool.name, "clone")
        yield Fact(drive_stream(destination), created)

    def _pool(self, source: Drive, storage_type: str) -> PoolSpace:
        """Choose a pool for the copy: one to which a worker can copy from the source's."""
        pools = self.environment.pools()
        reached = tuple(
            pool
            for pool in pools
            if pool.name == source.pool or self.environment.within_reach(source.pool, pool.name)
        )
        if any(pool.storage_type == storage_type for pool in reached):
            return with_room(place(reached, storage_type, near=source.pool, avoid=self.avoid))
        apart = place(pools, storage_type)
        raise PoolsApart(source.pool, apart.name)

    def begin_job(
        self, job: str, source: Drive, destination: str, *, parent: str | None = None
    ) -> Iterator[Change]:
        yield from begin_job(
            self.state,
            job,
            "drive_clone",
            owner=self.owner,
            resources=(
                Resource("drives", source.uuid, "source"),
                Resource("drives", destination, "destination"),
            ),
            parent=parent,
            bytes_total=self.data[source.uuid],
        )
