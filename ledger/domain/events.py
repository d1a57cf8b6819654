"""The vocabulary: every event the ledger may hold, and the envelope each one carries.

An event says what happened to one stream (a job, a drive, a server, a tag, a keypair, an account's
profile, or one of the ledger's own acts); `Recorded` adds when, by whom and in which request.
Events are immutable and the unions are closed: a `match` over one ends in `assert_never`. An event
may contain nothing secret: passwords, tokens and personal data live in plain tables, because what
is in the ledger stays there.
"""

from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

from msgspec import Struct

OperationName = str
"""What a job does; `ledger.domain.operations` has ours, and others may be recorded too."""

Ending = Literal["success", "failed", "cancelled"]
Media = Literal["disk", "cdrom"]
DriveOrigin = Literal["blank", "upload", "clone", "chunked"]
"""Where a drive's image comes from; `chunked` is an upload that comes in pieces."""
CloneNaming = Literal["NONE", "COUNTER", "DATE", "TIMESTAMP"]
Power = Literal["stopped", "running"]
PowerAction = Literal["start", "stop", "shutdown", "restart"]
ResourceKind = Literal["drives", "servers"]
Role = Literal["source", "destination"]
NicModel = Literal["virtio", "e1000", "rtl8139"]
Device = Literal["ide", "virtio", "scsi"]
IpMode = Literal["dhcp", "static", "manual"]
Scalar = str | int | float | bool | None


class Closed(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stored value. An unknown field is not ignored: it means another shape.

    `gc=False` here and for whatever is made of events: immutable values have no cycles, and
    hundreds of thousands of them in memory would make each garbage collection stop the process.
    """


class Resource(Closed, frozen=True):
    """A drive or server that a job names, and its role in the job."""

    kind: ResourceKind
    uuid: str
    role: Role


class Fingerprint(Closed, frozen=True):
    """What must not change in a source image while it is copied."""

    size: int
    mtime_ns: int
    inode: int

    def is_of_a_copy_of(self, other: "Fingerprint") -> bool:
        """Whether only the file differs, as in a pool that was moved or came from a backup."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


class DriveDefinition(Closed, frozen=True):
    """What the owner decides about a drive; `size` is in bytes, a multiple of 16 KiB."""

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


class Address(Closed, frozen=True):
    """An IPv4 address that a card got by DHCP, and the network that it was drawn from."""

    mac: str
    ip: str
    network: str


class ServerDefinition(Closed, frozen=True):
    """What the owner decides about a server; `cpu` is in MHz, `mem` in bytes."""

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
    """A job began to exist. `ordinal` is its place among its parent's children.

    `bytes_total` is how much data it has to copy, if that is known. It is stated once and never
    changes.
    """

    operation: OperationName
    owner: str
    resources: tuple[Resource, ...]
    root: str
    parent: str | None = None
    ordinal: int = 0
    bytes_total: int | None = None


class ChildAttached(Closed, frozen=True):
    child: str


class JobAttemptStarted(Closed, frozen=True):
    """A worker took the job up; reports of earlier attempts are refused from then on."""

    attempt: int
    worker: str
    fingerprint: Fingerprint | None = None


class JobAttemptLost(Closed, frozen=True):
    """The worker of this attempt is presumed dead. Another worker takes the job up."""

    attempt: int


class ProgressUpdated(Closed, frozen=True):
    """The durable part of a copy: `progress` in percent, and bytes of data without holes.

    `offset` is where a later attempt may resume: the image is complete below it. `bytes_verified`
    is how much of the data was compared with the source; None if copies are not verified.
    """

    attempt: int
    progress: int
    bytes_done: int
    bytes_total: int
    offset: int
    bytes_verified: int | None = None


class ChildEnded(Closed, frozen=True):
    child: str
    how: Ending


class JobSucceeded(Closed, frozen=True):
    pass


class JobFailed(Closed, frozen=True):
    error: str


class JobCancelled(Closed, frozen=True):
    """The owner no longer wanted the job."""


JobEvent = (
    JobCreated
    | ChildAttached
    | JobAttemptStarted
    | JobAttemptLost
    | ProgressUpdated
    | ChildEnded
    | JobSucceeded
    | JobFailed
    | JobCancelled
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


class DriveImageFailed(Closed, frozen=True):
    """The drive's image could not be made; it is tried again, and `DriveReady` may follow."""

    error: str


class DriveChanged(Closed, frozen=True):
    """The owner changed the drive's definition, but never its size: that takes a resize."""

    definition: DriveDefinition


class DriveResizeStarted(Closed, frozen=True):
    """The image is to grow to this many bytes; until it has, the drive shows its old size."""

    size: int


class DriveResized(Closed, frozen=True):
    """The image durably has the wanted size."""


class DriveResizeFailed(Closed, frozen=True):
    """The image keeps its old size."""

    error: str


class DriveDeleted(Closed, frozen=True):
    pass


DriveEvent = (
    DriveCreated
    | DriveReady
    | DriveImageFailed
    | DriveChanged
    | DriveResizeStarted
    | DriveResized
    | DriveResizeFailed
    | DriveDeleted
)


# Servers


class ServerCreated(Closed, frozen=True):
    owner: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...] = ()
    nics: tuple[Nic, ...] = ()


class ServerChanged(Closed, frozen=True):
    """The given parts were replaced; None means that a part is unchanged."""

    mounts: tuple[Mount, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    definition: ServerDefinition | None = None


class ServerPowerChanged(Closed, frozen=True):
    """The server was switched. If it runs: its compute host, and the addresses of its DHCP cards.

    Only this record exists.
    """

    action: PowerAction
    power: Power
    host: str | None = None
    addresses: tuple[Address, ...] = ()


class ServerDeleted(Closed, frozen=True):
    pass


ServerEvent = ServerCreated | ServerChanged | ServerPowerChanged | ServerDeleted


# Tags


class TagCreated(Closed, frozen=True):
    owner: str
    name: str
    meta: dict[str, str] = {}


class TagChanged(Closed, frozen=True):
    name: str
    meta: dict[str, str]


class ResourceTagged(Closed, frozen=True):
    kind: ResourceKind
    uuid: str


class ResourceUntagged(Closed, frozen=True):
    uuid: str


class TagDeleted(Closed, frozen=True):
    pass


TagEvent = TagCreated | TagChanged | ResourceTagged | ResourceUntagged | TagDeleted


# Keypairs


class KeypairCreated(Closed, frozen=True):
    """A public key has a name. Its private key is nowhere in the ledger, nor beside it."""

    owner: str
    name: str
    public_key: str
    meta: dict[str, str] = {}


class KeypairChanged(Closed, frozen=True):
    name: str
    meta: dict[str, str]


class KeypairDeleted(Closed, frozen=True):
    pass


KeypairEvent = KeypairCreated | KeypairChanged | KeypairDeleted


# Profiles


class ProfileChanged(Closed, frozen=True):
    """These fields of an account's profile have new values.

    The values are personal and live in a plain table, except `clone_naming`, which decisions rest
    on; None means that it is unchanged.
    """

    fields: tuple[str, ...]
    clone_naming: CloneNaming | None = None


ProfileEvent = ProfileChanged


# The ledger's own acts: each sweep, compaction, restore and parked stream has a stream of its own,
# so that old ones can be deleted; the retention policy has one stream, which stays.


class RetentionPolicySet(Closed, frozen=True):
    """From `holds_from` on, what ended longer ago than `keep` is due to be discarded."""

    keep: timedelta
    holds_from: datetime


class DiscardedTree(Closed, frozen=True):
    """A root job and all below it; `jobs` lists the root first, `ended` is their latest end."""

    owner: str
    jobs: tuple[str, ...]
    ended: datetime

    def streams(self) -> tuple[str, ...]:
        return tuple(map(job_stream, self.jobs))


class JobsDiscarded(Closed, frozen=True):
    """These trees ended before `cutoff`, under a policy of `keep`, and are no longer shown.

    `streams` are those of deleted drives, servers and tags that no tree names any more, and of the
    ledger's own old acts. `last` means that all is discarded that was due by the cutoff and had
    ended by `planned_at`, the position as of which the sweep was planned.
    """

    keep: timedelta
    cutoff: datetime
    planned_at: int
    trees: tuple[DiscardedTree, ...]
    streams: tuple[str, ...] = ()
    last: bool = False


class ArchiveWritten(Closed, frozen=True):
    """All events of what these sweeps discarded are in an archive on disk, so they may be deleted.

    `digest` is the SHA-256 of the file, `first` and `last` the positions that it spans.
    """

    archive: str
    digest: str
    events: int
    first: int
    last: int
    sweeps: tuple[str, ...]


class LedgerCompacted(Closed, frozen=True):
    """The archived events are deleted; `gone` counts the deleted events of all compactions."""

    gone: int


class LedgerRestored(Closed, frozen=True):
    """The ledger comes from a backup: what was recorded after the backup is lost.

    `checkpoint` is the first of the new epoch, signed over the ledger as the backup held it.
    """

    epoch: int
    checkpoint: str


class StreamParked(Closed, frozen=True):
    """A reader of the log cannot fold this stream, and continues without it."""

    stream: str
    reader: str
    reason: str


class StreamReleased(Closed, frozen=True):
    """The readers try the stream again, or (`skip`) take it as it is stored, unread."""

    skip: bool


PolicyEvent = RetentionPolicySet
SweepEvent = JobsDiscarded
CompactionEvent = ArchiveWritten | LedgerCompacted
RestorationEvent = LedgerRestored
ParkingEvent = StreamParked | StreamReleased

Event = (
    JobEvent
    | DriveEvent
    | ServerEvent
    | TagEvent
    | KeypairEvent
    | ProfileEvent
    | PolicyEvent
    | SweepEvent
    | CompactionEvent
    | RestorationEvent
    | ParkingEvent
)

E_co = TypeVar("E_co", covariant=True)


class Recorded(Closed, Generic[E_co], frozen=True):
    """An event with its envelope: streams, and the whole ledger, consist of these.

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


def tag_stream(uuid: str) -> str:
    return f"tag-{uuid}"


def keypair_stream(uuid: str) -> str:
    return f"keypair-{uuid}"


def profile_stream(account: str) -> str:
    return f"profile-{account}"


POLICY_STREAM = "policy-retention"


def sweep_stream(uuid: str) -> str:
    return f"sweep-{uuid}"


def compaction_stream(uuid: str) -> str:
    return f"compaction-{uuid}"


def restoration_stream(uuid: str) -> str:
    return f"restoration-{uuid}"


def parking_stream(stream: str) -> str:
    """Return the stream that records whether `stream` is parked."""
    return f"parking-{stream}"
