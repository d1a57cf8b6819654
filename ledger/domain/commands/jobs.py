"""Commands about jobs of our own, from their users and from our workers."""

from msgspec import Struct

from ledger.domain.events.jobs import Fingerprint, OperationName, Resource


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


JobCommand = (
    CreateJob
    | CancelJob
    | LabelJob
    | StartAttempt
    | LoseAttempt
    | UpdateProgress
    | SucceedJob
    | FailJob
)
