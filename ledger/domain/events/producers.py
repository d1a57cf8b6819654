"""What happens to the jobs of other programs.

A *producer* is any program that records an operation of its own as a job. What a program or a
person wrote in free words lies beside the ledger, where it can be removed; an event has a `Text`,
which proves the words while they are there. `happened_at` is when something happened, by our clock;
a report that comes late is recorded later.
"""

from datetime import datetime
from typing import Literal

from ledger.domain.events.values import Closed, ResourceKind

Ends = Literal["self", "children"]
"""Whether a job ends by its producer's word, or as a *group* that ends once its sub-jobs have."""
Outcome = Literal["succeeded", "failed", "cancelled", "skipped"]
"""How a producer says that its job ended; nothing had to be done for one that was skipped."""
FailureReason = Literal["program", "signal", "deadline", "lost", "expired", "children"]
"""Why a job failed: its program did, or was killed, or ran out of time; its producer fell silent;
nobody took it up; a sub-job failed."""
CancelReason = Literal["requested", "interrupted", "forced"]
"""Why a job was cancelled: it was asked to stop; somebody stopped it where it ran; an operator
ended the record of it."""
Tolerated = Literal["failed", "cancelled", "missing"]
"""What does not make a group fail: ends of its sub-jobs, and sub-jobs that never came."""
OnDeadline = Literal["show", "cancel"]
TotalIs = Literal["exact", "estimate", "growing"]


class Text(Closed, frozen=True):
    """Free words that lie beside the ledger: how many bytes of UTF-8, and their SHA-256.

    The digest is over a random salt that lies with the words, so they cannot be guessed from it
    once both are removed.
    """

    length: int
    digest: str


class Subject(Closed, frozen=True):
    """What a job is about: a URI, and its role in the job."""

    uri: str
    role: str


class Topic(Closed, frozen=True):
    """A drive or server of the account that a job is about; it is not locked."""

    kind: ResourceKind
    uuid: str


class Link(Closed, frozen=True):
    """A page about the job."""

    rel: str
    href: str


class Exit(Closed, frozen=True, omit_defaults=True):
    """How a process ended: with a code, or by a signal."""

    code: int | None = None
    signal: str | None = None


class Limits(Closed, frozen=True):
    """How long a job may be silent, run and wait, in seconds.

    `lease_s` is for how long a report holds; None if no reports are expected. An attempt that is
    lost for `abandon_after_s` ends the job, and so does nobody taking it up for `queue_s`. A job is
    overdue after `deadline_s`.
    """

    lease_s: int | None
    deadline_s: int | None
    abandon_after_s: int
    queue_s: int


class Phase(Closed, frozen=True, omit_defaults=True):
    """What a job is doing now, perhaps as phase `n` of so many."""

    name: str
    n: int | None = None
    of: int | None = None


class Items(Closed, frozen=True, omit_defaults=True):
    """How many things a job has dealt with, and how."""

    ok: int = 0
    failed: int = 0
    skipped: int = 0
    total: int | None = None


class Holder(Closed, frozen=True, omit_defaults=True):
    """The process that makes an attempt.

    `instance` is the SHA-256 of a random text that the process drew when it started; `token` is the
    id of the token that it came with, and `agent` the program that reports, with its version.
    """

    instance: str
    token: str | None = None
    host: str | None = None
    pid: int | None = None
    agent: str | None = None


class JobRegistered(Closed, frozen=True, omit_defaults=True):
    """A producer's job was registered; it follows the job's creation at once.

    `was_below` is the parent that was meant, if that was gone or had ended by then. `about` are the
    subjects that were drives or servers of the account by then.
    """

    source: str
    limits: Limits
    happened_at: datetime
    ends: Ends = "self"
    external_id: str | None = None
    series: str | None = None
    title: Text | None = None
    labels: dict[str, str] = {}
    subjects: tuple[Subject, ...] = ()
    links: tuple[Link, ...] = ()
    cancellable: bool = True
    on_deadline: OnDeadline = "show"
    expect_children: int | None = None
    tolerate: tuple[Tolerated, ...] = ()
    token: str | None = None
    trace: str | None = None
    rerun_of: str | None = None
    was_below: str | None = None
    about: tuple[Topic, ...] = ()


class ProgressReported(Closed, frozen=True, omit_defaults=True):
    """How far a producer says that its job is, and what that is in per cent of the attempt.

    `done` is None if that was not said. `seq` is the producer's number of the report, by which
    reports are ordered. One that is `stale` was delivered late, after newer ones: it tells what
    was, and is not shown.
    """

    attempt: int
    happened_at: datetime
    done: int | None = None
    total: int | None = None
    unit: str = "item"
    total_is: TotalIs = "exact"
    percent: int | None = None
    items: Items | None = None
    phase: Phase | None = None
    message: Text | None = None
    seq: int | None = None
    stale: bool = False


class JobAttemptReturned(Closed, frozen=True):
    """A lost attempt has reported: its producer was alive."""

    attempt: int


class JobAttemptFailed(Closed, frozen=True, omit_defaults=True):
    """The attempt failed, but another may follow, from `retry_at` on; until then nobody works."""

    attempt: int
    happened_at: datetime
    retry_at: datetime | None = None
    error_type: str | None = None
    message: Text | None = None
    exit: Exit | None = None
    reason: FailureReason | None = None
    tail: Text | None = None


class JobSealed(Closed, frozen=True):
    """The group gets no more sub-jobs."""


class JobCancelRequested(Closed, frozen=True, omit_defaults=True):
    """The job is asked to stop within `grace_s`; with `cascade`, so are all jobs below it.

    The actor of the event is who asks.
    """

    grace_s: int
    cascade: bool = True
    note: Text | None = None


class JobCancelSeen(Closed, frozen=True):
    """The producer of this attempt says that it knows of the request."""

    attempt: int


class JobSkipped(Closed, frozen=True, omit_defaults=True):
    """There was nothing to do; this counts as a success."""

    happened_at: datetime
    result: Text | None = None


class LateReportRecorded(Closed, frozen=True, omit_defaults=True):
    """The job had been abandoned, and its producer says how it really ended."""

    attempt: int
    outcome: Outcome
    happened_at: datetime
    error_type: str | None = None
    message: Text | None = None
    exit: Exit | None = None
    result: Text | None = None
    reason: FailureReason | CancelReason | None = None
    retryable: bool | None = None
    tail: Text | None = None


class JobTextsRemoved(Closed, frozen=True):
    """The words that lay beside the job were removed, as its owner wished; others may follow."""


ProducerEvent = (
    JobRegistered
    | ProgressReported
    | JobAttemptReturned
    | JobAttemptFailed
    | JobSealed
    | JobCancelRequested
    | JobCancelSeen
    | JobSkipped
    | LateReportRecorded
    | JobTextsRemoved
)
