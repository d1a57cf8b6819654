"""Changes of drives, servers and profiles by their owner."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from ledger.domain.aggregates.drive import Drive, round_up
from ledger.domain.aggregates.server import CPU_PER_SMP_LEAST_MHZ, Server, sorted_mounts
from ledger.domain.commands.drives import (
    CompleteResize,
    EditDrive,
    EditDrives,
    FailResize,
    ResizeDrive,
)
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import EditServer, EditServers, ServerEdit
from ledger.domain.context import Change, Environment, Fact, SetPersonal, SetVncPassword, State
from ledger.domain.decisions.create import check_mountable
from ledger.domain.decisions.delete import check_not_in_job, check_not_running, running_server
from ledger.domain.decisions.keypairs import check_pubkeys
from ledger.domain.decisions.ownership import own_drive, own_server
from ledger.domain.decisions.tags import set_tags
from ledger.domain.errors.drives import (
    Busy,
    DriveBusy,
    DriveNotFound,
    SizeTooSmall,
    StorageTypeFixed,
)
from ledger.domain.errors.servers import CpuTooLow
from ledger.domain.events.drives import (
    DriveChanged,
    DriveResized,
    DriveResizeFailed,
    DriveResizeStarted,
    drive_stream,
)
from ledger.domain.events.profiles import ProfileChanged, profile_stream
from ledger.domain.events.servers import Mount, ServerChanged, ServerDefinition, server_stream
from ledger.domain.quotas import Quotas

D = TypeVar("D", bound=Struct)


def edit_drive(command: EditDrive, state: State, environment: Environment) -> Iterator[Change]:
    """Change what is given; a greater size begins a resize.

    On a drive of a running server, size, media and affinities are ignored. Raise `DriveNotFound`,
    `StorageTypeFixed`, `UnknownTag`, and for another size what `resize_drive` raises.
    """
    drive = own_drive(state, command.drive, command.owner)
    wanted: dict[str, object] = {
        "name": command.name,
        "meta": command.meta,
        "allow_multimount": command.allow_multimount,
    }
    free = running_server(state, drive) is None
    if free:
        _check_storage_type(drive, command.storage_type)
        wanted |= {"media": command.media, "affinities": command.affinities}
    definition = _replace_given(drive.definition, wanted)
    if definition != drive.definition:
        yield Fact(drive_stream(drive.uuid), DriveChanged(definition))
    yield from set_tags(state, "drives", drive.uuid, command.tags, command.owner)
    if free and command.size is not None:
        yield from _resize(state, drive, command.size)


def edit_drives(command: EditDrives, state: State, environment: Environment) -> Iterator[Change]:
    """Change one after the other. Raise what `edit_drive` raises."""
    for edit in command.edits:
        yield from edit_drive(edit, state, environment)


def resize_drive(command: ResizeDrive, state: State, environment: Environment) -> Iterator[Change]:
    """Begin to grow a drive, and change the rest; the size that it already has changes nothing.

    Raise `DriveNotFound`, `SizeTooSmall`, `DriveBusy` if the drive has no complete image, is being
    resized or is needed by a job, `ServerRunning` if a running server mounts it, and what
    `edit_drive` raises.
    """
    check_not_running(state, own_drive(state, command.drive, command.owner))
    yield from edit_drive(EditDrive(**asdict(command)), state, environment)


def _check_storage_type(drive: Drive, wanted: str | None) -> None:
    if wanted not in (None, drive.definition.storage_type):
        raise StorageTypeFixed(drive.definition.storage_type)


def _resize(state: State, drive: Drive, wanted: int) -> Iterator[Change]:
    size = round_up(wanted)
    if size == drive.definition.size:
        return
    if size < drive.definition.size:
        raise SizeTooSmall("drive")
    drive.check_complete()
    check_not_in_job(state, drive)
    yield Fact(drive_stream(drive.uuid), DriveResizeStarted(size))


def complete_resize(
    command: CompleteResize, state: State, environment: Environment
) -> Iterator[Change]:
    """Record that the image has grown. Raise `DriveNotFound`, `DriveBusy` if it should not have."""
    drive = _resizing_drive(state, command.drive)
    yield Fact(drive_stream(drive.uuid), DriveResized())


def fail_resize(command: FailResize, state: State, environment: Environment) -> Iterator[Change]:
    """Record that the image could not grow. Raise what `complete_resize` raises."""
    drive = _resizing_drive(state, command.drive)
    yield Fact(drive_stream(drive.uuid), DriveResizeFailed(command.error))


def _resizing_drive(state: State, uuid: str) -> Drive:
    drive = state.drive(uuid)
    if drive is None:
        raise DriveNotFound(uuid)
    if drive.resizing is None:
        raise DriveBusy(uuid, Busy.NOT_RESIZING)
    return drive


def edit_server(command: EditServer, state: State, environment: Environment) -> Iterator[Change]:
    """Change what is given; of a running server only its name, meta and tags.

    Raise `ServerNotFound`, `UnknownTag`, `CpuTooLow`, and for newly attached drives and keypairs
    what `check_mountable` and `check_pubkeys` raise.
    """
    server = own_server(state, command.server, command.owner)
    if server.power == "running":
        edit = {"name": command.edit.name, "meta": command.edit.meta}
        yield from _change_server(server, _replace_given(server.definition, edit), None, command)
    else:
        definition = edited_definition(server.definition, command.edit, command.owner, state)
        mounts = _check_mounts(state, server, command, environment.quotas)
        yield from _change_server(server, definition, mounts, command)
        if command.vnc_password is not None:
            yield SetVncPassword(server.uuid, command.vnc_password)
    yield from set_tags(state, "servers", server.uuid, command.tags, command.owner)


def edit_servers(command: EditServers, state: State, environment: Environment) -> Iterator[Change]:
    """Change one after the other. Raise what `edit_server` raises."""
    for edit in command.edits:
        yield from edit_server(edit, state, environment)


def edited_definition(
    before: ServerDefinition, edit: ServerEdit, owner: str, state: State
) -> ServerDefinition:
    """Return the definition with what the edit gives. Raise `CpuTooLow`, `UnknownKeypair`."""
    definition = _fit_smp(_replace_given(before, asdict(edit)), edit)
    check_pubkeys(edit.pubkeys or (), owner, state)
    return definition


def _change_server(
    server: Server,
    definition: ServerDefinition,
    mounts: tuple[Mount, ...] | None,
    command: EditServer,
) -> Iterator[Change]:
    """Record what differs, if anything does."""
    nics = command.nics if server.power == "stopped" else None
    changed = ServerChanged(
        definition=None if definition == server.definition else definition,
        mounts=None if mounts == server.mounts else mounts,
        nics=None if nics == server.nics else nics,
    )
    if changed != ServerChanged():
        yield Fact(server_stream(server.uuid), changed)


def _fit_smp(definition: ServerDefinition, edit: ServerEdit) -> ServerDefinition:
    """Reduce the smp to what the cpu suffices for, as at creation, unless they are given."""
    most = max(1, definition.cpu // CPU_PER_SMP_LEAST_MHZ)
    if definition.smp <= most:
        return definition
    if edit.smp is not None:
        raise CpuTooLow(CPU_PER_SMP_LEAST_MHZ)
    return replace(definition, smp=most)


def _check_mounts(
    state: State, server: Server, command: EditServer, quotas: Quotas
) -> tuple[Mount, ...] | None:
    """Return the wanted mounts; drives that the server already has need no check."""
    if command.mounts is None:
        return None
    had = {mount.drive for mount in server.mounts}
    check_mountable(command.mounts, command.owner, state, quotas, had=had)
    return sorted_mounts(command.mounts)


def edit_profile(command: EditProfile, state: State, environment: Environment) -> Iterator[Change]:
    """Record which fields have changed; personal values themselves stay out of the ledger."""
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


def _replace_given(definition: D, wanted: Mapping[str, object]) -> D:
    """Return the definition with the wanted values; None leaves a value as it is."""
    return replace(definition, **{name: to for name, to in wanted.items() if to is not None})
