"""What work on images follows from what was recorded, and where it waits to be done.

Pure, and the only place that says so: threads of the service do these tasks where the ledger is in
SQLite, and workers that a queue in the database feeds where it is in PostgreSQL. A task is an
invitation to look: whoever takes one up asks the ledger what there is to do by now, so one that
comes twice, or late, does no harm.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import NamedTuple, assert_never, get_args

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.events import (
    DriveCreated,
    DriveDeleted,
    DriveResizeStarted,
    Event,
    JobCreated,
    OperationName,
    Recorded,
    Resource,
    drive_stream,
    job_stream,
)
from ledger.domain.operations import operation_of

QUEUE_MOST = 40
"""Bytes of a queue's name: PostgreSQL's channels, of whose names it is a part, have 63."""


class RunJob(NamedTuple):
    """A job that workers do, which reads an image in one pool and may write one in another."""

    job: str
    source_pool: str
    pool: str


class MakeImage(NamedTuple):
    """A new drive waits for its image, which is blank or was uploaded."""

    drive: str
    pool: str


class GrowImage(NamedTuple):
    """A drive's image is to be as long as the drive is."""

    drive: str
    pool: str


class RemoveFiles(NamedTuple):
    """Nobody needs the files of a drive that was deleted."""

    drive: str
    pool: str


Task = RunJob | MakeImage | GrowImage | RemoveFiles
_Cause = JobCreated | DriveCreated | DriveResizeStarted | DriveDeleted
_CAUSES = get_args(_Cause)
DriveOf = Callable[[str], Drive | None]
"""A drive as it is now, also if it is deleted."""

_KINDS: dict[str, type[Task]] = {
    "CopyImage": RunJob,  # which had this name when the first tasks were stored
    "MakeImage": MakeImage,
    "GrowImage": GrowImage,
    "RemoveFiles": RemoveFiles,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
KINDS = tuple(_KINDS)
"""The names of all kinds of tasks."""


def following(events: Iterable[tuple[str, Recorded[Event]]], drive: DriveOf) -> list[Task]:
    """The tasks that follow from these events of (stream, event), in their order."""
    found: list[Task] = []
    for name, recorded in events:
        if isinstance(recorded.event, _CAUSES):  # few are, and every event comes by here
            task = _following(name.partition("-")[2], recorded.event, drive)
            if task is not None:
                found.append(task)
    return found


def _following(uuid: str, event: _Cause, drive: DriveOf) -> Task | None:
    match event:
        case JobCreated(operation=name, resources=resources):
            return _job_task(uuid, name, resources, drive)
        case DriveCreated(origin="blank", pool=pool):
            return MakeImage(uuid, pool)
        case DriveResizeStarted():
            return GrowImage(uuid, _known(drive, uuid).pool)
        case DriveDeleted():
            return RemoveFiles(uuid, _known(drive, uuid).pool)
        case DriveCreated():
            return None
        case _:
            assert_never(event)


def outstanding(thing: Aggregate | None, drive: DriveOf) -> Task | None:
    """The task that a job or a drive, as it is now, still waits for.

    A drive that waits for chunks waits for its owner.
    """
    match thing:
        case Job(state="started", children=()):
            return task_of(thing, drive)
        case Drive(deleted=None) if thing.resizing is not None:
            return GrowImage(thing.uuid, thing.pool)
        case Drive(deleted=None, ready=False, origin="blank" | "upload"):
            return MakeImage(thing.uuid, thing.pool)
        case _:
            return None


def task_of(job: Job, drive: DriveOf) -> RunJob | None:
    """Return the task that follows from a job's creation, whatever became of the job since."""
    return _job_task(job.uuid, job.operation, job.resources, drive)


def _job_task(
    job: str, name: OperationName, resources: tuple[Resource, ...], drive: DriveOf
) -> RunJob | None:
    operation = operation_of(name)
    drives = {named.role: named.uuid for named in resources if named.kind == "drives"}
    if operation.executor != "workers" or not operation.needs <= drives.keys():
        return None
    source = _known(drive, drives["source"])
    destination = _known(drive, drives.get("destination", source.uuid))
    return RunJob(job, source.pool, destination.pool)


def _known(drive: DriveOf, uuid: str) -> Drive:
    found = drive(uuid)
    assert found is not None, f"drive {uuid} is named by what was recorded, and never was"
    return found


def queue(task: Task) -> str:
    """Where the task waits."""
    match task:
        case RunJob(_, source_pool, pool):
            return copies_queue(source_pool, pool)
        case MakeImage() | GrowImage() | RemoveFiles():
            return chores_queue(task.pool)
        case _:
            assert_never(task)


def stream(task: Task) -> str:
    """What the task is about."""
    return job_stream(task.job) if isinstance(task, RunJob) else drive_stream(task.drive)


def copies_queue(source_pool: str, pool: str) -> str:
    """A copy between two pools waits for a worker that has both."""
    return _short(pool if source_pool == pool else f"{source_pool}>{pool}")


def chores_queue(pool: str) -> str:
    """Short work, which does not wait behind copies."""
    return _short(f"{pool}:chores")


def _short(name: str) -> str:
    if len(name) <= QUEUE_MOST:
        return name
    return name[: QUEUE_MOST - 17] + "#" + sha256(name.encode()).hexdigest()[:16]


def written(task: Task) -> tuple[str, dict[str, str]]:
    """The task's kind and what it is about, for a queue; `read` undoes it."""
    return _NAMES[type(task)], task._asdict()


def read(kind: str, about: dict[str, str]) -> Task:
    """The task that was written so."""
    return _KINDS[kind](**about)
