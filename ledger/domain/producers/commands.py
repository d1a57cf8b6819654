"""What may be asked of the ledger about jobs of producers.

A command of an account has its `owner`. The others come from a producer, whose token was checked,
or from the service itself. What is to be recorded comes as the event that it becomes, and beside it
the `words` of the event's texts.
"""

from datetime import datetime

from msgspec import Struct

from ledger.domain.events.jobs import (
    JobCancelled,
    JobFailed,
    JobSucceeded,
    OperationName,
)
from ledger.domain.events.producers import (
    Holder,
    JobAttemptFailed,
    JobCancelRequested,
    JobRegistered,
    JobSkipped,
    ProgressReported,
)
from ledger.domain.producers.texts import Words

End = JobSucceeded | JobSkipped | JobFailed | JobCancelled


class RegisterJob(Struct, frozen=True, gc=False):
    """Register a job, below a parent if one is named; the same again changes nothing.

    The `holder` begins the first attempt; without one the job waits in the queue, unless it is a
    group. With `end`, its holder says that it has ended already. `chosen`: a client chose the uuid,
    which may be that of a job that was discarded. `once`: the same again is refused. What it is
    `about` may be anybody's, or nobody's.
    """

    owner: str
    job: str
    operation: OperationName
    registered: JobRegistered
    parent: str | None = None
    holder: Holder | None = None
    end: End | None = None
    chosen: bool = False
    words: tuple[Words, ...] = ()
    once: bool = False


class TakeUpJob(Struct, frozen=True, gc=False):
    """Begin the attempt that follows `after`; the same again changes nothing.

    `replaces`: an attempt that goes on is replaced, because its lease is over, or because somebody
    says so. `happened_at` is when this one began, if that was said. With a `number`, the attempt
    had begun under it before the ledger was restored, and goes on whatever it follows. `once`: the
    same again is refused.
    """

    job: str
    after: int
    holder: Holder
    replaces: bool = False
    happened_at: datetime | None = None
    number: int | None = None
    once: bool = False


class ReportProgress(Struct, frozen=True, gc=False):
    """Record a report, in per cent as it follows from the reports before.

    One that was `buffered` is no sign of life: it takes no loss back.
    """

    job: str
    report: ProgressReported
    buffered: bool = False
    words: tuple[Words, ...] = ()


class ReturnAttempt(Struct, frozen=True, gc=False):
    """An attempt reports; if it was lost, it is no longer."""

    job: str
    attempt: int


class LoseProducer(Struct, frozen=True, gc=False):
    """The producer has been silent for longer than its lease; `last` is what it last reported.

    `due` is when the lease was over. If anything was heard of the job since that was found, nothing
    changes. It is None for whoever does not go by a lease.
    """

    job: str
    attempt: int
    last: ProgressReported | None = None
    words: tuple[Words, ...] = ()
    due: int | None = None


class FailAttempt(Struct, frozen=True, gc=False):
    """End an attempt, but not the job: it waits in the queue for the next. Once for an attempt."""

    job: str
    failed: JobAttemptFailed
    words: tuple[Words, ...] = ()


class EndJob(Struct, frozen=True, gc=False):
    """End a job as its producer says. The same again changes nothing.

    If the job was abandoned, how it really ended is recorded beside it. `alone`: only if nobody
    works on a sub-job.
    """

    job: str
    attempt: int
    end: End
    words: tuple[Words, ...] = ()
    alone: bool = False


class RequestCancel(Struct, frozen=True, gc=False):
    """Ask a job to stop, once, and end it if nobody works on it."""

    owner: str
    job: str
    request: JobCancelRequested
    words: tuple[Words, ...] = ()


class SettleJob(Struct, frozen=True, gc=False):
    """End a job in the queue, or seal a group, if it is asked to stop: nobody else would."""

    job: str


class SeeCancel(Struct, frozen=True, gc=False):
    """The producer says that it knows of a request to its job, or to one above."""

    job: str
    attempt: int


class ForceEnd(Struct, frozen=True, gc=False):
    """End the record of a job that has not obeyed in time, or has been lost."""

    owner: str
    job: str


class SealJob(Struct, frozen=True, gc=False):
    """Let a group get no more sub-jobs; it ends when they have. A second time changes nothing."""

    owner: str
    job: str


class AbandonJob(Struct, frozen=True, gc=False):
    """End a job from which nothing is expected any more.

    That is a job whose attempt is lost, or is not expected to report; one that nobody has taken up;
    or a group that nobody has sealed. `attempt` is the one that the caller knows; if another has
    begun, nothing changes. `due` is as in `LoseProducer`.
    """

    job: str
    attempt: int
    due: int | None = None


class RemoveTexts(Struct, frozen=True, gc=False):
    """Remove the words that lie beside a job, whether or not it has ended."""

    owner: str
    job: str


ProducerCommand = (
    RegisterJob
    | TakeUpJob
    | ReportProgress
    | ReturnAttempt
    | LoseProducer
    | FailAttempt
    | EndJob
    | RequestCancel
    | SettleJob
    | SeeCancel
    | ForceEnd
    | SealJob
    | AbandonJob
    | RemoveTexts
)

_Worded = RegisterJob | ReportProgress | LoseProducer | FailAttempt | EndJob | RequestCancel


def words_of(command: object) -> tuple[Words, ...]:
    """Return the words that a command carries beside what becomes events."""
    return command.words if isinstance(command, _Worded) else ()
