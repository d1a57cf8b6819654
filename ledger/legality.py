"""Whether an event may follow what came before it in its stream.

Deciding never lets an illegal event in; this says it a second time, from the record alone, so that
an auditor need not trust the code that decided.
"""

from typing import assert_never

from ledger.aggregate import Aggregate
from ledger.drive import Drive
from ledger.events import (
    ChildAttached,
    ChildEnded,
    DriveCreated,
    DriveDeleted,
    DriveReady,
    Event,
    JobAttemptStarted,
    JobCreated,
    JobFailed,
    JobSucceeded,
    ProgressUpdated,
    ServerChanged,
    ServerCreated,
    ServerDeleted,
)
from ledger.job import Job
from ledger.server import Server

_FIRST = {"job": JobCreated, "drive": DriveCreated, "server": ServerCreated}
FULL = 100


def illegality(state: Aggregate | None, stream: str, event: Event) -> str | None:
    """Why this event may not come next in this stream; None if it may."""
    kind = stream.partition("-")[0]
    first = _FIRST.get(kind)
    if first is None:
        return f"there are no streams of the kind {kind}"
    if (state is None) != isinstance(event, first):
        return f"a {kind}'s stream begins with its creation, and has no other"
    match state:
        case Job():
            return _of_job(state, event)
        case Drive():
            return _of_drive(state, event)
        case Server():
            return _of_server(state, event)
        case None:
            return None
        case _:
            assert_never(state)


def _of_job(job: Job, event: Event) -> str | None:
    if job.state != "started":
        return f"the job had ended: {job.state}"
    match event:
        case ChildAttached() | ChildEnded():
            return _of_parent(job, event)
        case JobAttemptStarted() | ProgressUpdated():
            return _of_attempt(job, event)
        case JobSucceeded() | JobFailed():
            return _of_end(job, event)
        case _:
            return f"a job has no {type(event).__name__}"


def _of_parent(job: Job, event: ChildAttached | ChildEnded) -> str | None:
    child = next((known for known in job.children if known.uuid == event.child), None)
    if isinstance(event, ChildEnded):
        return f"no running child {event.child}" if child is None or child.ended else None
    if child is not None:
        return f"child {event.child} is attached twice"
    if job.children and all(known.ended for known in job.children):
        return "its children had all ended"
    return "a worker was doing the job itself" if job.attempt else None


def _of_attempt(job: Job, event: JobAttemptStarted | ProgressUpdated) -> str | None:
    if job.children:
        return "the job is done by its children"
    if isinstance(event, JobAttemptStarted):
        follows = event.attempt == job.attempt + 1
        return None if follows else f"attempt {event.attempt} after {job.attempt}"
    if event.attempt != job.attempt or not job.attempt:
        return f"attempt {event.attempt} reports during attempt {job.attempt}"
    if not job.progress <= event.progress <= FULL:
        return f"progress goes from {job.progress} to {event.progress}"
    return None


def _of_end(job: Job, event: JobSucceeded | JobFailed) -> str | None:
    """A parent ends as its children did; a job that nobody tried may only succeed, at once."""
    if any(child.ended is None for child in job.children):
        return "a child was still running"
    failed = any(child.ended == "failed" for child in job.children)
    if job.children and failed == isinstance(event, JobSucceeded):
        return "its children did not end so"
    if isinstance(event, JobFailed) and not job.children and not job.attempt:
        return "nobody had tried"
    return None


def _of_drive(drive: Drive, event: Event) -> str | None:
    if drive.deleted:
        return "the drive had been deleted"
    match event:
        case DriveReady():
            return "the drive was ready already" if drive.ready else None
        case DriveDeleted():
            return None
        case _:
            return f"a drive has no {type(event).__name__}"


def _of_server(server: Server, event: Event) -> str | None:
    if server.deleted:
        return "the server had been deleted"
    match event:
        case ServerChanged() | ServerDeleted():
            return None
        case _:
            return f"a server has no {type(event).__name__}"
