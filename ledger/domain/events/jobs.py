"""What happens to a job."""

from typing import Literal

from ledger.domain.events.values import Closed, ResourceKind

OperationName = str
"""What a job does; `ledger.domain.operations` has ours, and others may be recorded too."""


Ending = Literal["success", "failed", "cancelled"]


Role = Literal["source", "destination"]


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


def job_stream(uuid: str) -> str:
    return f"job-{uuid}"
