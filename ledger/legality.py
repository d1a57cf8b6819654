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
        case ChildAttached(child=child):
            known = any(child == other.uuid for other in job.children)
            return f"child {child} is attached twice" if known else None
        case ChildEnded(child=child):
            running = any(child == other.uuid and not other.ended for other in job.children)
            return None if running else f"no running child {child}"
        case JobAttemptStarted(attempt=attempt):
            return None if attempt == job.attempt + 1 else f"attempt {attempt} after {job.attempt}"
        case ProgressUpdated():
            return _of_progress(job, event)
        case JobSucceeded():
            return _of_success(job)
        case JobFailed():
            return _of_settling(job)
        case _:
            return f"a job has no {type(event).__name__}"


def _of_progress(job: Job, event: ProgressUpdated) -> str | None:
    if event.attempt != job.attempt:
        return f"attempt {event.attempt} reports during attempt {job.attempt}"
    if not job.progress <= event.progress <= FULL:
        return f"progress goes from {job.progress} to {event.progress}"
    return None


def _of_success(job: Job) -> str | None:
    if any(child.ended == "failed" for child in job.children):
        return "a child had failed"
    return _of_settling(job)


def _of_settling(job: Job) -> str | None:
    return "a child was still running" if any(not child.ended for child in job.children) else None


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
