"""Changes of drives, servers and profiles by their owner."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from ledger.domain import errors
from ledger.domain.aggregates.drive import Drive, round_up
from ledger.domain.aggregates.server import CPU_PER_SMP_LEAST_MHZ, Server, sorted_mounts
from ledger.domain.commands import (
    CompleteResize,
    EditDrive,
    EditProfile,
    EditServer,
    FailResize,
    ResizeDrive,
    ServerEdit,
)
from ledger.domain.context import Change, Environment, Fact, SetPersonal, SetVncPassword, State
from ledger.domain.decisions.create import check_mountable
from ledger.domain.decisions.delete import check_not_in_job, check_not_running, running_server
from ledger.domain.decisions.ownership import own_drive, own_server
from ledger.domain.decisions.tags import set_tags
from ledger.domain.events import (
    DriveChanged,
    DriveResized,
    DriveResizeFailed,
    DriveResizeStarted,
    Mount,
    ProfileChanged,
    ServerChanged,
    ServerDefinition,
    drive_stream,
    profile_stream,
    server_stream,
)

D = TypeVar("D", bound=Struct)


def edit_drive(command: EditDrive, state: State, environment: Environment) -> Iterator[Change]:
    """Changes what is given; a greater size begins a resize.

    Raises `DriveNotFound`, `TagNotFound`, and for another size what `resize_drive` raises, but not
    on a drive of a running server: there, size, media and affinities are passed over.
    """
    drive = own_drive(state, command.drive, command.owner)
    wanted: dict[str, object] = {
        "name": command.name,
        "meta": command.meta,
        "allow_multimount": command.allow_multimount,
    }
    free = running_server(state, drive) is None
    if free:
        wanted |= {"media": command.media, "affinities": command.affinities}
    definition = _with(drive.definition, wanted)
    if definition != drive.definition:
        yield Fact(drive_stream(drive.uuid), DriveChanged(definition))
    yield from set_tags(state, "drives", drive.uuid, command.tags, command.owner)
    if free and command.size is not None:
        yield from _resize(state, drive, command.size)


def resize_drive(command: ResizeDrive, state: State, environment: Environment) -> Iterator[Change]:
    """Begins to let a drive grow; the size it has already changes nothing.

    Raises `DriveNotFound`, `SizeTooSmall`, `DriveBusy` while it has no complete image, grows or is
    cloned, `ServerRunning` while a server that mounts it runs.
    """
    drive = own_drive(state, command.drive, command.owner)
    check_not_running(state, drive)
    yield from _resize(state, drive, command.size)


def _resize(state: State, drive: Drive, wanted: int) -> Iterator[Change]:
    size = round_up(wanted)
    if size == drive.definition.size:
        return
    if size < drive.definition.size:
        raise errors.SizeTooSmall("drive")
    drive.check_complete()
    check_not_in_job(state, drive)
    yield Fact(drive_stream(drive.uuid), DriveResizeStarted(size))


def complete_resize(
    command: CompleteResize, state: State, environment: Environment
) -> Iterator[Change]:
    """The image has grown. Raises `DriveNotFound`, `DriveBusy` if that was not asked for."""
    drive = _resizing(state, command.drive)
    yield Fact(drive_stream(drive.uuid), DriveResized())


def fail_resize(command: FailResize, state: State, environment: Environment) -> Iterator[Change]:
    """The image could not grow. Raises what `complete_resize` raises."""
    drive = _resizing(state, command.drive)
    yield Fact(drive_stream(drive.uuid), DriveResizeFailed(command.error))


def _resizing(state: State, uuid: str) -> Drive:
    drive = state.drive(uuid)
    if drive is None:
        raise errors.DriveNotFound(uuid)
    if drive.resizing is None:
        raise errors.DriveBusy(uuid, errors.Busy.NOT_RESIZING)
    return drive


def edit_server(command: EditServer, state: State, environment: Environment) -> Iterator[Change]:
    """Changes what is given; of a running server its name, meta and tags only.

    Raises `ServerNotFound`, `TagNotFound`, `CpuTooLow`, and for a drive that is attached anew what
    `check_mountable` raises.
    """
    server = own_server(state, command.server, command.owner)
    if server.power == "running":
        edit = {"name": command.edit.name, "meta": command.edit.meta}
        yield from _change_server(server, _with(server.definition, edit), None, command)
    else:
        definition = _fitting(_with(server.definition, asdict(command.edit)), command.edit)
        mounts = _checked_mounts(state, server, command)
        yield from _change_server(server, definition, mounts, command)
        if command.vnc_password is not None:
            yield SetVncPassword(server.uuid, command.vnc_password)
    yield from set_tags(state, "servers", server.uuid, command.tags, command.owner)


def _change_server(
    server: Server,
    definition: ServerDefinition,
    mounts: tuple[Mount, ...] | None,
    command: EditServer,
) -> Iterator[Change]:
    """What differs, if anything does."""
    nics = command.nics if server.power == "stopped" else None
    changed = ServerChanged(
        definition=None if definition == server.definition else definition,
        mounts=None if mounts == server.mounts else mounts,
        nics=None if nics == server.nics else nics,
    )
    if changed != ServerChanged():
        yield Fact(server_stream(server.uuid), changed)


def _fitting(definition: ServerDefinition, edit: ServerEdit) -> ServerDefinition:
    """With as many smp as its cpu is enough for, as when it was made, unless they are given."""
    most = max(1, definition.cpu // CPU_PER_SMP_LEAST_MHZ)
    if definition.smp <= most:
        return definition
    if edit.smp is not None:
        raise errors.CpuTooLow(CPU_PER_SMP_LEAST_MHZ)
    return replace(definition, smp=most)


def _checked_mounts(state: State, server: Server, command: EditServer) -> tuple[Mount, ...] | None:
    """The mounts that are wanted; a drive that the server has already need not be looked at."""
    if command.mounts is None:
        return None
    had = {mount.drive for mount in server.mounts}
    check_mountable(command.mounts, command.owner, state, had=had)
    return sorted_mounts(command.mounts)


def edit_profile(command: EditProfile, state: State, environment: Environment) -> Iterator[Change]:
    """Says which fields have other values; what the values are, the ledger is not told."""
    fields = sorted(command.personal)
    naming = command.clone_naming
    if naming == state.profile(command.owner).clone_naming:
        naming = None
    if naming is not None:
        fields.append("clone_naming")
    if fields:
        changed = ProfileChanged(tuple(fields), naming)
        yield Fact(profile_stream(command.owner), changed)
        yield SetPersonal(command.owner, command.personal)


def _with(definition: D, wanted: Mapping[str, object]) -> D:
    """The definition with what is wanted; None is not."""
    return replace(definition, **{name: to for name, to in wanted.items() if to is not None})
