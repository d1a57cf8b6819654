"""The commands: what may be asked of the ledger.

Each names the account it is for (`owner`); things of other accounts do not exist for it. The ids of
what is made are chosen by the caller, so that a command that is redone makes the same thing.
"""

from typing import Literal

from msgspec import Struct

from ledger.events import (
    DriveDefinition,
    DriveOrigin,
    Fingerprint,
    Media,
    Mount,
    Nic,
    Operation,
    Resource,
    ServerDefinition,
)

Recurse = Literal["none", "disks", "cdroms", "all_drives"]


class NewDrive(Struct, frozen=True, gc=False):
    """`pool` is named when the image's bytes are there already; else one is chosen."""

    drive: str
    definition: DriveDefinition
    pool: str | None = None


class CreateDrives(Struct, frozen=True, gc=False):
    """Make drives, all or none; their images follow, then `MarkDriveReady`."""

    owner: str
    drives: tuple[NewDrive, ...]
    origin: DriveOrigin


class MarkDriveReady(Struct, frozen=True, gc=False):
    drive: str


class DeleteDrives(Struct, frozen=True, gc=False):
    """Delete drives, all or none; they are detached from their servers."""

    owner: str
    drives: tuple[str, ...]


class CloneDrive(Struct, frozen=True, gc=False):
    """Copy a drive. What is None comes from the source; `size` in bytes."""

    owner: str
    source: str
    destination: str
    job: str
    name: str | None = None
    media: Media | None = None
    size: int | None = None
    storage_type: str | None = None
    meta: dict[str, str] | None = None
    affinities: tuple[str, ...] | None = None
    allow_multimount: bool | None = None


class NewServer(Struct, frozen=True, gc=False):
    """`vnc_password` goes to a plain table, never into the ledger."""

    server: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...]
    nics: tuple[Nic, ...]
    vnc_password: str


class CreateServers(Struct, frozen=True, gc=False):
    """Make servers, all or none."""

    owner: str
    servers: tuple[NewServer, ...]


class DeleteServers(Struct, frozen=True, gc=False):
    """Delete servers, all or none, and with `recurse` the drives of that media they mount."""

    owner: str
    servers: tuple[str, ...]
    recurse: Recurse = "none"


class CloneServer(Struct, frozen=True, gc=False):
    """Copy a server: a job with a child for each disk; cdroms are shared, not copied.

    `vnc_password` None keeps the source's.
    """

    owner: str
    source: str
    destination: str
    job: str
    name: str | None = None
    vnc_password: str | None = None


class CreateJob(Struct, frozen=True, gc=False):
    """Make a job of any operation, under a running parent if one is named."""

    owner: str
    job: str
    operation: Operation
    resources: tuple[Resource, ...] = ()
    parent: str | None = None


class StartAttempt(Struct, frozen=True, gc=False):
    """A worker takes a job up; `attempt` is the job's last one plus one."""

    job: str
    attempt: int
    worker: str
    fingerprint: Fingerprint | None = None


class UpdateProgress(Struct, frozen=True, gc=False):
    """So much of the job is durable; see `ProgressUpdated`."""

    job: str
    attempt: int
    progress: int
    bytes_done: int = 0
    bytes_total: int = 0
    offset: int = 0


class SucceedJob(Struct, frozen=True, gc=False):
    job: str
    attempt: int


class FailJob(Struct, frozen=True, gc=False):
    job: str
    attempt: int
    error: str


Command = (
    CreateDrives
    | MarkDriveReady
    | DeleteDrives
    | CloneDrive
    | CreateServers
    | DeleteServers
    | CloneServer
    | CreateJob
    | StartAttempt
    | UpdateProgress
    | SucceedJob
    | FailJob
)
