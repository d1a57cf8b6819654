"""The tasks on images that follow from recorded events, and the queues in which they wait. Pure.

With SQLite, threads of the service do the tasks; with PostgreSQL, workers take them from a queue in
the database. A task is an invitation to look: the worker asks the ledger what there is to do by
now, so a task that comes twice, or late, does no harm.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import NamedTuple, assert_never, get_args

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveCreated, DriveDeleted, DriveResizeStarted, drive_stream
from ledger.domain.events.jobs import JobCreated, OperationName, Resource, job_stream
from ledger.domain.operations import operation_of

QUEUE_NAME_BYTES_MAX = 40
"""A queue's name is part of the name of a PostgreSQL channel, which has at most 63 bytes."""


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
    """A drive's image grows to the size of the drive."""

    drive: str
    pool: str


class RemoveFiles(NamedTuple):
    """The files of a deleted drive are removed."""

    drive: str
    pool: str


Task = RunJob | MakeImage | GrowImage | RemoveFiles
_Cause = JobCreated | DriveCreated | DriveResizeStarted | DriveDeleted
_CAUSES = get_args(_Cause)
DriveOf = Callable[[str], Drive | None]
"""Returns a drive as it is now, even a deleted one."""

_KINDS: dict[str, type[Task]] = {
    "CopyImage": RunJob,  # which had this name when the first tasks were stored
    "MakeImage": MakeImage,
    "GrowImage": GrowImage,
    "RemoveFiles": RemoveFiles,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
KINDS = tuple(_KINDS)
"""The names of all kinds of tasks."""


def tasks_after(events: Iterable[tuple[str, Recorded[Event]]], drive: DriveOf) -> list[Task]:
    """Return the tasks that follow from these events of (stream, event), in their order."""
    tasks: list[Task] = []
    for name, recorded in events:
        if isinstance(recorded.event, _CAUSES):  # few are, and every event passes here
            task = _task_after(name.partition("-")[2], recorded.event, drive)
            if task is not None:
                tasks.append(task)
    return tasks


def _task_after(uuid: str, event: _Cause, drive: DriveOf) -> Task | None:
    match event:
        case JobCreated(operation=name, resources=resources):
            return _run_job_task(uuid, name, resources, drive)
        case DriveCreated(origin="blank", pool=pool):
            return MakeImage(uuid, pool)
        case DriveResizeStarted():
            return GrowImage(uuid, _recorded_drive(drive, uuid).pool)
        case DriveDeleted():
            return RemoveFiles(uuid, _recorded_drive(drive, uuid).pool)
        case DriveCreated():
            return None
        case _:
            assert_never(event)


def outstanding_task(thing: Aggregate | None, drive: DriveOf) -> Task | None:
    """Return the task that a job or a drive, as it is now, still waits for.

    A drive whose chunks are not all there waits for its owner, not for a task.
    """
    match thing:
        case Job(state="started") if not thing.children:
            return task_of_job(thing, drive)
        case Drive(deleted=None) if thing.resizing is not None:
            return GrowImage(thing.uuid, thing.pool)
        case Drive(deleted=None, ready=False, origin="blank" | "upload"):
            return MakeImage(thing.uuid, thing.pool)
        case _:
            return None


def task_of_job(job: Job, drive: DriveOf) -> RunJob | None:
    """Return the task that follows from the creation of a job, whether or not the job has ended."""
    return _run_job_task(job.uuid, job.operation, job.resources, drive)


def _run_job_task(
    job: str, name: OperationName, resources: tuple[Resource, ...], drive: DriveOf
) -> RunJob | None:
    operation = operation_of(name)
    if operation.executor != "workers":
        return None
    drives = {named.role: named.uuid for named in resources if named.kind == "drives"}
    if not operation.needs <= drives.keys():
        return None
    source = _recorded_drive(drive, drives["source"])
    destination = _recorded_drive(drive, drives.get("destination", source.uuid))
    return RunJob(job, source.pool, destination.pool)


def _recorded_drive(drive: DriveOf, uuid: str) -> Drive:
    recorded = drive(uuid)
    assert recorded is not None, f"an event names drive {uuid}, which was never created"
    return recorded


def queue_of(task: Task) -> str:
    """Return the name of the queue in which the task waits."""
    match task:
        case RunJob(_, source_pool, pool):
            return copies_queue(source_pool, pool)
        case MakeImage() | GrowImage() | RemoveFiles():
            return chores_queue(task.pool)
        case _:
            assert_never(task)


def stream_of(task: Task) -> str:
    return job_stream(task.job) if isinstance(task, RunJob) else drive_stream(task.drive)


def copies_queue(source_pool: str, pool: str) -> str:
    """Return the queue of copies between two pools, which needs a worker that has both."""
    return _shorten(pool if source_pool == pool else f"{source_pool}>{pool}")


def chores_queue(pool: str) -> str:
    """Return the queue of a pool's short tasks, which do not wait behind copies."""
    return _shorten(f"{pool}:chores")


def _shorten(name: str) -> str:
    if len(name) <= QUEUE_NAME_BYTES_MAX:
        return name
    return name[: QUEUE_NAME_BYTES_MAX - 17] + "#" + sha256(name.encode()).hexdigest()[:16]


def encode_task(task: Task) -> tuple[str, dict[str, str]]:
    """Return the task's kind and its fields, as a queue stores them."""
    return _NAMES[type(task)], task._asdict()


def decode_task(kind: str, about: dict[str, str]) -> Task:
    """Return the task that `encode_task` encoded."""
    return _KINDS[kind](**about)
