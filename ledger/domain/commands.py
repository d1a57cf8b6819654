"""The commands: what may be asked of the ledger.

A command acts for an account, its `owner`; things of other accounts do not exist for it. The caller
chooses the ids of what is created, so that a repeated command creates the same thing.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from ledger.domain.context import RowKey
from ledger.domain.events.drives import DriveDefinition, DriveOrigin, Media
from ledger.domain.events.housekeeping import ArchiveWritten, DiscardedTree
from ledger.domain.events.jobs import Fingerprint, OperationName, Resource
from ledger.domain.events.profiles import CloneNaming
from ledger.domain.events.servers import Mount, Nic, PowerAction, Scalar, ServerDefinition
from ledger.domain.events.tokens import TokenIssued
from ledger.domain.producers.commands import ProducerCommand

Recurse = Literal["none", "disks", "cdroms", "all_drives"]


class NewDrive(Struct, frozen=True, gc=False):
    """`pool` is given if the image is there already; otherwise one is chosen."""

    drive: str
    definition: DriveDefinition
    pool: str | None = None
    tags: tuple[str, ...] = ()


class CreateDrives(Struct, frozen=True, gc=False):
    """Create drives, all or none; their images follow, then `MarkDriveReady`.

    `avoid` names drives, and servers for all of their drives, in whose pools the new drives should
    not be if that is possible; the first of them matters most.
    """

    owner: str
    drives: tuple[NewDrive, ...]
    origin: DriveOrigin
    avoid: tuple[str, ...] = ()


class MarkDriveReady(Struct, frozen=True, gc=False):
    drive: str


class FailImage(Struct, frozen=True, gc=False):
    """The image of a new drive could not be made; the drive stays, and it is tried again."""

    drive: str
    error: str


class DriveChanges(Struct, frozen=True, gc=False, kw_only=True):
    """What may be changed of a drive besides its size; what is None stays."""

    name: str | None = None
    media: Media | None = None
    storage_type: str | None = None
    meta: dict[str, str] | None = None
    affinities: tuple[str, ...] | None = None
    allow_multimount: bool | None = None
    tags: tuple[str, ...] | None = None


class EditDrive(DriveChanges, frozen=True, gc=False):
    """Change a drive; what is None stays. A new `size`, in bytes, begins a resize.

    While a running server mounts it, only its name, meta, tags and `allow_multimount` change, and
    the rest is ignored. Its storage type never changes.
    """

    owner: str
    drive: str
    size: int | None = None


class ResizeDrive(DriveChanges, frozen=True, gc=False):
    """Grow a drive's image to `size` bytes; `CompleteResize` or `FailResize` follows.

    Change the rest as `EditDrive` does, but ignore nothing: what cannot change is refused.
    """

    owner: str
    drive: str
    size: int


class EditDrives(Struct, frozen=True, gc=False):
    """Change several drives, all or none."""

    edits: tuple[EditDrive, ...]


class CompleteResize(Struct, frozen=True, gc=False):
    drive: str


class FailResize(Struct, frozen=True, gc=False):
    drive: str
    error: str


class DeleteDrives(Struct, frozen=True, gc=False):
    """Delete drives, all or none; they are detached from their servers."""

    owner: str
    drives: tuple[str, ...]


class CloneDrive(DriveChanges, frozen=True, gc=False):
    """Copy a drive. What is None comes from the source, the name by the owner's `clone_naming`.

    It has no tags but those given. `size` in bytes; `avoid` as in `CreateDrives`.
    """

    owner: str
    source: str
    destination: str
    job: str
    size: int | None = None
    avoid: tuple[str, ...] = ()


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


class NewTag(Struct, frozen=True, gc=False):
    """`resources` are uuids of drives and servers."""

    tag: str
    name: str
    meta: dict[str, str] = {}
    resources: tuple[str, ...] = ()


class CreateTags(Struct, frozen=True, gc=False):
    """Create tags, all or none."""

    owner: str
    tags: tuple[NewTag, ...]


class EditTag(Struct, frozen=True, gc=False):
    """Change a tag; what is None stays. `resources` replaces all of them."""

    owner: str
    tag: str
    name: str | None = None
    meta: dict[str, str] | None = None
    resources: tuple[str, ...] | None = None


class DeleteTag(Struct, frozen=True, gc=False):
    """Delete a tag, and remove it from everything that has it."""

    owner: str
    tag: str


class NewKeypair(Struct, frozen=True, gc=False):
    """`public_key` as OpenSSH writes it; the private key is no concern of the ledger."""

    keypair: str
    name: str
    public_key: str
    meta: dict[str, str] = {}


class CreateKeypairs(Struct, frozen=True, gc=False):
    """Create keypairs, all or none."""

    owner: str
    keypairs: tuple[NewKeypair, ...]


class EditKeypair(Struct, frozen=True, gc=False):
    """Change a keypair; what is None stays. A `public_key`, if given, must be the one it has."""

    owner: str
    keypair: str
    name: str | None = None
    public_key: str | None = None
    meta: dict[str, str] | None = None


class DeleteKeypair(Struct, frozen=True, gc=False):
    """Delete a keypair, and remove it from all servers that have it, also from running ones."""

    owner: str
    keypair: str


class EditProfile(Struct, frozen=True, gc=False):
    """Change an account's profile. `personal` is kept in a plain table, never in the ledger."""

    owner: str
    personal: dict[str, str]
    clone_naming: CloneNaming | None = None


class IssueToken(Struct, frozen=True, gc=False):
    """Let a program act for an account. The hash is kept in a plain table, never in the ledger.

    With `password_version`, the account's password must still have that version, or the token is
    never valid.
    """

    token: str
    token_hash: bytes
    issued: TokenIssued
    created: datetime
    password_version: int | None = None


class RemoveTokens(Struct, frozen=True, gc=False):
    """Refuse these tokens of an account from now on."""

    owner: str
    tokens: tuple[str, ...]
    removed: datetime


class CreateJob(Struct, frozen=True, gc=False):
    """Create a job of any operation, below a running parent if one is named."""

    owner: str
    job: str
    operation: OperationName
    resources: tuple[Resource, ...] = ()
    parent: str | None = None


class CancelJob(Struct, frozen=True, gc=False):
    """Cancel a running job and all below it; what they made is removed."""

    owner: str
    job: str


class LabelJob(Struct, frozen=True, gc=False):
    """Set some labels of a job, and remove others, also after its end; see `domain/labels`."""

    owner: str
    job: str
    labels: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class StartAttempt(Struct, frozen=True, gc=False):
    """A worker begins an attempt at a job; `attempt` is the job's last one plus one."""

    job: str
    attempt: int
    worker: str
    fingerprint: Fingerprint | None = None


class LoseAttempt(Struct, frozen=True, gc=False):
    """The worker of this attempt has sent no heartbeat for so long that it is presumed dead."""

    job: str
    attempt: int


class UpdateProgress(Struct, frozen=True, gc=False):
    """A worker reports how much of the job is durable; see `ProgressUpdated`."""

    job: str
    attempt: int
    progress: int
    bytes_done: int = 0
    bytes_total: int = 0
    offset: int = 0
    bytes_verified: int | None = None


class SucceedJob(Struct, frozen=True, gc=False):
    job: str
    attempt: int


class FailJob(Struct, frozen=True, gc=False):
    job: str
    attempt: int
    error: str


# The ledger's own acts


class SetRetention(Struct, frozen=True, gc=False):
    """From now on keep jobs for this long after their end, and the last of each series.

    Without `keep_last`, as many of a series are kept as before.
    """

    keep: timedelta
    keep_last: int | None = None


class DiscardJobs(Struct, frozen=True, gc=False):
    """Discard trees of jobs that ended before the cutoff, and streams that no job names any more.

    `rows` are all rows that show them, as they were when the guards of the trees were `guards`.
    `unread` are the streams that cannot be folded, and were
    released to be discarded unread. `last`: with this the sweep has discarded all that was due.
    """

    sweep: str
    keep: timedelta
    cutoff: datetime
    planned_at: int
    trees: tuple[DiscardedTree, ...]
    streams: tuple[str, ...]
    rows: tuple[RowKey, ...]
    unread: tuple[str, ...] = ()
    last: bool = False
    guards: tuple[int, ...] = ()
    keep_last: int = 0


class RecordArchive(Struct, frozen=True, gc=False):
    """All events of the streams that some sweeps discarded are in an archive, on disk."""

    compaction: str
    written: ArchiveWritten


class RecordCompaction(Struct, frozen=True, gc=False):
    """The archive's events are deleted from the store; `gone` counts all ever deleted."""

    compaction: str
    gone: int


class RecordRestore(Struct, frozen=True, gc=False):
    """The ledger was restored from a backup; a new epoch begins with this checkpoint of it."""

    restoration: str
    epoch: int
    checkpoint: str


class ParkStream(Struct, frozen=True, gc=False):
    """A reader of the log cannot fold a stream, and continues without it."""

    stream: str
    reader: str
    reason: str


class ReleaseStream(Struct, frozen=True, gc=False):
    """Let readers try a parked stream again or, with `skip`, pass over it."""

    stream: str
    skip: bool


Command = (
    CreateDrives
    | MarkDriveReady
    | FailImage
    | EditDrive
    | EditDrives
    | ResizeDrive
    | CompleteResize
    | FailResize
    | DeleteDrives
    | CloneDrive
    | CreateServers
    | EditServer
    | EditServers
    | ChangePower
    | DeleteServers
    | CloneServer
    | CreateTags
    | EditTag
    | DeleteTag
    | CreateKeypairs
    | EditKeypair
    | DeleteKeypair
    | EditProfile
    | IssueToken
    | RemoveTokens
    | CreateJob
    | CancelJob
    | LabelJob
    | StartAttempt
    | LoseAttempt
    | UpdateProgress
    | SucceedJob
    | FailJob
    | SetRetention
    | DiscardJobs
    | RecordArchive
    | RecordCompaction
    | RecordRestore
    | ParkStream
    | ReleaseStream
    | ProducerCommand
)
