"""The vocabulary: every event the ledger may hold, and the envelope each one carries.

An event says what happened to one stream (a job, a drive or a server); `Recorded` adds when, by
whom and in which request. Events are immutable and the unions are closed: a `match` over one ends
in `assert_never`. Nothing secret may be put into an event: passwords, tokens and personal data
live in plain tables, because what is in the ledger stays there.
"""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from msgspec import Struct

Operation = str
"""What a job does: `drive_clone`, `server_clone`; open, because operations will be added."""

Ending = Literal["success", "failed"]
Media = Literal["disk", "cdrom"]
DriveOrigin = Literal["blank", "upload", "clone"]
ResourceKind = Literal["drives", "servers"]
Role = Literal["source", "destination"]
NicModel = Literal["virtio", "e1000", "rtl8139"]
Device = Literal["ide", "virtio", "scsi"]
IpMode = Literal["dhcp", "static", "manual"]
CloneNaming = Literal["NONE", "COUNTER", "DATE", "TIMESTAMP"]
Scalar = str | int | float | bool | None


class Closed(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What is stored: a field that is not known is not passed over, it is another shape.

    `gc=False` here and for what is made of events: immutable values have no cycles, and hundreds
    of thousands of them, held in memory, would make each garbage collection stop everybody.
    """


class Resource(Closed, frozen=True):
    """A drive or server that a job names, and what it is to the job."""

    kind: ResourceKind
    uuid: str
    role: Role


class Fingerprint(Closed, frozen=True):
    """What must not change in a source image while it is copied."""

    size: int
    mtime_ns: int
    inode: int


class DriveDefinition(Closed, frozen=True):
    """What the owner of a drive says about it; `size` in bytes, a multiple of 16 KiB."""

    name: str
    media: Media
    size: int
    storage_type: str
    meta: dict[str, str] = {}
    affinities: tuple[str, ...] = ()
    allow_multimount: bool = False


class Mount(Closed, frozen=True):
    """A drive attached to a server at a device and channel."""

    drive: str
    device: Device
    dev_channel: str
    boot_order: int | None = None


class IpConf(Closed, frozen=True):
    conf: IpMode
    ip: str | None = None


class Nic(Closed, frozen=True):
    mac: str
    model: NicModel = "virtio"
    ip_v4_conf: IpConf | None = None
    ip_v6_conf: IpConf | None = None
    vlan: str | None = None
    firewall_policy: str | None = None
    boot_order: int | None = None


class ServerDefinition(Closed, frozen=True):
    """What the owner of a server says about it; `cpu` in MHz, `mem` in bytes."""

    name: str
    cpu: int
    mem: int
    smp: int
    cpu_type: str = "amd"
    cpu_model: str | None = None
    hypervisor: str = "kvm"
    auto_start: bool = False
    context: bool = True
    cpus_instead_of_cores: bool = False
    enable_numa: bool = False
    hv_relaxed: bool = False
    hv_tsc: bool = False
    meta: dict[str, str] = {}
    requirements: tuple[str, ...] = ()
    pubkeys: tuple[str, ...] = ()
    gpus: tuple[dict[str, Scalar], ...] = ()
    epcs: tuple[dict[str, Scalar], ...] = ()


# Jobs


class JobCreated(Closed, frozen=True):
    """A job began to exist. `ordinal` is its place among its parent's children."""

    operation: Operation
    owner: str
    resources: tuple[Resource, ...]
    root: str
    parent: str | None = None
    ordinal: int = 0


class ChildAttached(Closed, frozen=True):
    child: str


class JobAttemptStarted(Closed, frozen=True):
    """A worker took the job up; reports of earlier attempts are refused from now on."""

    attempt: int
    worker: str
    fingerprint: Fingerprint | None = None


class ProgressUpdated(Closed, frozen=True):
    """So much is durable: `progress` in percent, bytes of data (holes are not counted).

    `offset` is where a later attempt may go on: the image is complete below it.
    """

    attempt: int
    progress: int
    bytes_done: int
    bytes_total: int
    offset: int


class ChildEnded(Closed, frozen=True):
    child: str
    how: Ending


class JobSucceeded(Closed, frozen=True):
    pass


class JobFailed(Closed, frozen=True):
    error: str


JobEvent = (
    JobCreated
    | ChildAttached
    | JobAttemptStarted
    | ProgressUpdated
    | ChildEnded
    | JobSucceeded
    | JobFailed
)


# Drives


class DriveCreated(Closed, frozen=True):
    """A drive began to exist in a pool; it has no image yet."""

    owner: str
    definition: DriveDefinition
    pool: str
    origin: DriveOrigin


class DriveReady(Closed, frozen=True):
    """The drive's image is complete and on disk."""


class DriveDeleted(Closed, frozen=True):
    pass


DriveEvent = DriveCreated | DriveReady | DriveDeleted


# Servers


class ServerCreated(Closed, frozen=True):
    owner: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...] = ()
    nics: tuple[Nic, ...] = ()


class ServerChanged(Closed, frozen=True):
    """The server's mounts were replaced."""

    mounts: tuple[Mount, ...]


class ServerDeleted(Closed, frozen=True):
    pass


ServerEvent = ServerCreated | ServerChanged | ServerDeleted

Event = JobEvent | DriveEvent | ServerEvent

E_co = TypeVar("E_co", covariant=True)


class Recorded(Closed, Generic[E_co], frozen=True):
    """An event with its envelope; what a stream and the whole ledger are made of.

    `actor` is an account's uuid, or `worker:<name>` or `system` for our own acts.
    """

    recorded_at: datetime
    actor: str
    request_id: str
    event: E_co


def job_stream(uuid: str) -> str:
    return f"job-{uuid}"


def drive_stream(uuid: str) -> str:
    return f"drive-{uuid}"


def server_stream(uuid: str) -> str:
    return f"server-{uuid}"
