"""What happens to a job."""

from datetime import datetime
from typing import Literal

from ledger.domain.events.producers import (
    CancelReason,
    Exit,
    FailureReason,
    Holder,
    ProducerEvent,
    ProgressReported,
    Text,
)
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


class JobAttemptStarted(Closed, frozen=True, omit_defaults=True):
    """Somebody took the job up; reports of earlier attempts are refused from then on.

    Either a worker of ours, or the `holder` of a producer's job, who may say when it happened.
    """

    attempt: int
    worker: str | None = None
    fingerprint: Fingerprint | None = None
    holder: Holder | None = None
    happened_at: datetime | None = None


class JobAttemptLost(Closed, frozen=True, omit_defaults=True):
    """Whoever makes this attempt has fallen silent. Another worker takes a job of ours up.

    A producer may return; `last` is the last that it has reported.
    """

    attempt: int
    last: ProgressReported | None = None


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


class JobSucceeded(Closed, frozen=True, omit_defaults=True):
    """The job has done all that it had to.

    Only that of a producer's job says when, and with what result; with `stops_below`, what
    still runs below it is asked to stop.
    """

    happened_at: datetime | None = None
    exit: Exit | None = None
    result: Text | None = None
    stops_below: bool = False


class JobFailed(Closed, frozen=True, omit_defaults=True):
    """The job failed. `error` is in our words, `message` in a producer's; `error_type` is a name.

    `tail` is the end of what its program wrote about it.
    """

    error: str | None = None
    reason: FailureReason | None = None
    happened_at: datetime | None = None
    error_type: str | None = None
    message: Text | None = None
    exit: Exit | None = None
    result: Text | None = None
    retryable: bool | None = None
    tail: Text | None = None


class JobCancelled(Closed, frozen=True, omit_defaults=True):
    """The job's owner no longer wanted it; only that of a producer's job says why, and when."""

    reason: CancelReason | None = None
    happened_at: datetime | None = None
    message: Text | None = None
    exit: Exit | None = None
    result: Text | None = None


class JobLabelled(Closed, frozen=True):
    """The owner set some labels of the job, and removed others; this may also follow its end."""

    labels: dict[str, str] = {}
    removed: tuple[str, ...] = ()


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
    | JobLabelled
    | ProducerEvent
)


def job_stream(uuid: str) -> str:
    return f"job-{uuid}"
