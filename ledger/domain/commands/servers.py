"""Commands about servers: create, edit, power, clone, delete."""

from typing import Literal

from msgspec import Struct

from ledger.domain.events.servers import Mount, Nic, PowerAction, Scalar, ServerDefinition

Recurse = Literal["none", "disks", "cdroms", "all_drives"]


class NewServer(Struct, frozen=True, gc=False):
    """`vnc_password` is kept in a plain table, never in the ledger."""

    server: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...]
    nics: tuple[Nic, ...]
    vnc_password: str
    tags: tuple[str, ...] = ()


class CreateServers(Struct, frozen=True, gc=False):
    """Create servers, all or none."""

    owner: str
    servers: tuple[NewServer, ...]


class ServerEdit(Struct, frozen=True, gc=False):
    """Changes of a server's definition; what is None stays."""

    name: str | None = None
    cpu: int | None = None
    mem: int | None = None
    smp: int | None = None
    cpu_type: str | None = None
    cpu_model: str | None = None
    hypervisor: str | None = None
    auto_start: bool | None = None
    context: bool | None = None
    cpus_instead_of_cores: bool | None = None
    enable_numa: bool | None = None
    hv_relaxed: bool | None = None
    hv_tsc: bool | None = None
    meta: dict[str, str] | None = None
    requirements: tuple[str, ...] | None = None
    pubkeys: tuple[str, ...] | None = None
    gpus: tuple[dict[str, Scalar], ...] | None = None
    epcs: tuple[dict[str, Scalar], ...] | None = None


class EditServer(Struct, frozen=True, gc=False):
    """Change a server; what is None stays. While it runs, only its name, meta and tags change."""

    owner: str
    server: str
    edit: ServerEdit
    mounts: tuple[Mount, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    vnc_password: str | None = None
    tags: tuple[str, ...] | None = None


class EditServers(Struct, frozen=True, gc=False):
    """Change several servers, all or none."""

    edits: tuple[EditServer, ...]


class ChangePower(Struct, frozen=True, gc=False):
    """Start, stop, shut down or restart a server.

    `avoid` names servers on whose hosts it should not be started; the first matters most.
    """

    owner: str
    server: str
    action: PowerAction
    avoid: tuple[str, ...] = ()


class DeleteServers(Struct, frozen=True, gc=False):
    """Delete servers, all or none, and with `recurse` their drives of that media."""

    owner: str
    servers: tuple[str, ...]
    recurse: Recurse = "none"


class CloneServer(Struct, frozen=True, gc=False):
    """Copy a server: a job with a child for each disk; cdroms are shared, not copied.

    What is None comes from the source, but the name by the owner's `clone_naming`; `avoid` as in
    `CreateDrives`, for each disk.
    """

    owner: str
    source: str
    destination: str
    job: str
    edit: ServerEdit = ServerEdit()
    vnc_password: str | None = None
    tags: tuple[str, ...] | None = None
    avoid: tuple[str, ...] = ()


ServerCommand = CreateServers | EditServer | EditServers | ChangePower | DeleteServers | CloneServer
