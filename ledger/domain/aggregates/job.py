"""A job: its state, and how events change it.

    started ──> success      (a leaf: its worker reports it; a parent: all children succeeded)
       ├──────> failed       (a leaf: its worker reports it; a parent: all ended, one failed)
       └──────> cancelled    (a leaf: its owner wants it; a parent: all ended, one so, none failed)

An end is final. Only labels and reports that are late may follow it.

A parent's progress is not here: it is computed from its descendants' when it is read, so that a
child's progress writes to no other stream.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.aggregates import produced
from ledger.domain.aggregates.children import Children
from ledger.domain.aggregates.produced import Produced
from ledger.domain.events import Event, Recorded
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    Ending,
    Fingerprint,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobEvent,
    JobFailed,
    JobLabelled,
    JobSucceeded,
    OperationName,
    ProgressUpdated,
    Resource,
)
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobAttemptReturned,
    JobCancelRequested,
    JobCancelSeen,
    JobRegistered,
    JobSealed,
    JobSkipped,
    JobTextsRemoved,
    LateReportRecorded,
    ProgressReported,
)
from ledger.domain.labels import changed
from ledger.domain.producers.failures import failure

JobState = Literal["started", "success", "failed", "cancelled"]

ENDINGS: Mapping[type[Event], Ending] = {
    JobSucceeded: "success",
    JobSkipped: "success",
    JobFailed: "failed",
    JobCancelled: "cancelled",
}
"""The events that end a job, and how."""


class Attempt(Struct, frozen=True, gc=False):
    """What the current attempt has reported: when it began, with how many bytes done, and so on.

    `copied` is when all was copied and the verification began, `reported` its newest report.
    """

    began: datetime
    bytes_before: int
    copied: datetime | None
    reported: datetime


class Job(Struct, frozen=True, gc=False):
    """A job, folded from its stream; times are those of its events.

    `ended` is the time of the event that ended it: others may follow, and change `last_modified`.
    `weight` is how many bytes it has to copy, if that was stated when it was created; `bytes_total`
    may also come from its first report. `bytes_verified` is None if copies are not verified.
    `lost`: the worker of its last attempt is presumed dead. `fingerprint` is that of the source at
    the first attempt: what has been copied is from that image. `produced` is what only a producer's
    job has.
    """

    uuid: str
    operation: OperationName
    owner: str
    resources: tuple[Resource, ...]
    root: str
    parent: str | None
    ordinal: int
    created: datetime
    last_modified: datetime
    ended: datetime | None = None
    state: JobState = "started"
    progress: int = 0
    weight: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_verified: int | None = None
    offset: int = 0
    attempt: int = 0
    current: Attempt | None = None
    lost: bool = False
    fingerprint: Fingerprint | None = None
    error: str | None = None
    children: Children = Children()
    produced: Produced | None = None
    labels: Mapping[str, str] = {}
    label_changes: int = 0

    def destination(self, kind: str) -> str | None:
        """Return the uuid of the drive or server of this kind that the job makes, if any."""
        for resource in self.resources:
            if resource.role == "destination" and resource.kind == kind:
                return resource.uuid
        return None


def evolve(job: Job | None, uuid: str, recorded: Recorded[JobEvent]) -> Job:
    """Return the job after one more event of its stream."""
    event, at = recorded.event, recorded.recorded_at
    if job is None:
        assert isinstance(event, JobCreated), f"a job's stream begins with {event}"
        return _begin(uuid, event, at)
    after = _after(job, uuid, event, at)
    if job.produced is None:
        return after
    return replace(after, produced=produced.evolve(job.produced, recorded))


def _after(job: Job, uuid: str, event: JobEvent, at: datetime) -> Job:
    """Return what is known of every job after one more event of its stream."""
    match event:
        case ProgressUpdated():
            return _report(job, event, at)
        case ChildAttached():
            return replace(job, last_modified=at, children=job.children.attach(event.child))
        case JobAttemptStarted():
            return _begin_attempt(job, event, at)
        case JobAttemptLost(last=last):
            return replace(job, last_modified=at, lost=True, progress=_shown(job, last))
        case JobAttemptReturned():
            return replace(job, last_modified=at, lost=False)
        case JobAttemptFailed():
            return replace(job, last_modified=at, lost=False, current=None)
        case ProgressReported():
            return replace(job, last_modified=at, progress=_shown(job, event))
        case ChildEnded():
            children = job.children.end(event.child, event.how)
            return replace(job, last_modified=at, children=children)
        case JobSucceeded() | JobSkipped():
            return _succeed(job, at)
        case JobFailed():
            return _end(job, at, "failed", error=failure(event))
        case JobCancelled():
            return _end(job, at, "cancelled")
        case JobRegistered():
            return replace(
                job, last_modified=at, produced=produced.register(event), labels=event.labels
            )
        case (
            JobSealed()
            | JobCancelRequested()
            | JobCancelSeen()
            | LateReportRecorded()
            | JobTextsRemoved()
        ):
            return replace(job, last_modified=at)
        case JobLabelled():
            return replace(
                job,
                last_modified=at,
                labels=changed(job.labels, event.labels, event.removed),
                label_changes=job.label_changes + 1,
            )
        case JobCreated():
            raise AssertionError(f"job {uuid} created twice")
        case _:
            assert_never(event)


def _begin_attempt(job: Job, event: JobAttemptStarted, at: datetime) -> Job:
    return replace(
        job,
        last_modified=at,
        attempt=event.attempt,
        progress=job.progress if job.produced is None else 0,
        current=Attempt(at, job.bytes_done, None, at),
        bytes_verified=None,
        lost=False,
        fingerprint=job.fingerprint or event.fingerprint,
    )


def _succeed(job: Job, at: datetime) -> Job:
    return replace(
        job,
        last_modified=at,
        ended=at,
        state="success",
        progress=100,
        lost=False,
        bytes_done=job.bytes_total or 0,
        bytes_verified=None if job.bytes_verified is None else job.bytes_total,
        current=job.current and replace(job.current, reported=at),
    )


def _end(job: Job, at: datetime, state: JobState, error: str | None = None) -> Job:
    return replace(job, last_modified=at, ended=at, state=state, lost=False, error=error)


def _shown(job: Job, report: ProgressReported | None) -> int:
    """Return the progress after a producer's report: the highest of its attempt."""
    if report is None or report.stale:
        return job.progress
    return max(job.progress, report.percent or 0)


def _report(job: Job, event: ProgressUpdated, at: datetime) -> Job:
    """Return the job after a report. Its first one states the total if nothing has so far."""
    current = job.current
    if current is not None:
        has_copied = bool(
            event.bytes_verified is not None and event.bytes_done >= event.bytes_total
        )
        current = Attempt(
            began=current.began,
            bytes_before=min(current.bytes_before, event.bytes_done),
            copied=current.copied or (at if has_copied else None),
            reported=at,
        )
    return replace(
        job,
        last_modified=at,
        progress=event.progress,
        bytes_done=event.bytes_done,
        bytes_total=job.bytes_total if job.bytes_total is not None else event.bytes_total or None,
        bytes_verified=event.bytes_verified,
        offset=event.offset,
        current=current,
        lost=False,
    )


def _begin(uuid: str, event: JobCreated, at: datetime) -> Job:
    return Job(
        uuid=uuid,
        operation=event.operation,
        owner=event.owner,
        resources=event.resources,
        root=event.root,
        parent=event.parent,
        ordinal=event.ordinal,
        created=at,
        last_modified=at,
        weight=event.bytes_total,
        bytes_total=event.bytes_total,
    )
