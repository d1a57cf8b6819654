"""Jobs: how they begin, what workers report about them, and how they end.

The end of a job is one decision with everything that follows from it: the destination becomes ready
or is removed, the source is released (its relation ends with the job), the parent is told, and the
last child to end settles the parent, and so on upwards.
"""

from collections.abc import Iterator, Mapping, Sequence

from ledger.domain.aggregates.job import Job
from ledger.domain.commands.jobs import (
    CancelJob,
    CreateJob,
    FailJob,
    LabelJob,
    LoseAttempt,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.decisions.delete import remove_drive, remove_server
from ledger.domain.decisions.ownership import own_server, visible_drive
from ledger.domain.decisions.power import start_automatically
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.jobs import (
    BadLabel,
    JobDiscarded,
    JobHasChildren,
    JobHasWorker,
    JobNotFound,
    JobOver,
    LabelsFixed,
    ProgressWentBack,
    StaleAttempt,
    TooDeep,
    TooManyLabels,
)
from ledger.domain.events.drives import DriveReady, drive_stream
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    Ending,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobFailed,
    JobLabelled,
    JobSucceeded,
    OperationName,
    ProgressUpdated,
    Resource,
    job_stream,
)
from ledger.domain.labels import CHANGES_MOST, LABELS_MOST, changed, wrong_label

DEPTH_LIMIT = 100
"""Levels of a tree of jobs; far more could not be written as nested JSON."""


def create_job(command: CreateJob, state: State, environment: Environment) -> Iterator[Change]:
    """Create a job, below a parent that still runs if one is named."""
    for resource in command.resources:
        _check_nameable(resource, command.owner, state)
    yield from begin_job(
        state,
        command.job,
        command.operation,
        owner=command.owner,
        resources=command.resources,
        parent=command.parent,
    )


def _check_nameable(resource: Resource, owner: str, state: State) -> None:
    """Check that a job may name the resource: what exists can be its source, not its result."""
    if resource.kind == "drives":
        visible_drive(state, resource.uuid, owner)
    else:
        own_server(state, resource.uuid, owner)
    if resource.role == "destination":
        raise AlreadyExists(resource.kind.removesuffix("s"), resource.uuid)


def begin_job(
    state: State,
    uuid: str,
    operation: OperationName,
    *,
    owner: str,
    resources: tuple[Resource, ...],
    parent: str | None = None,
    bytes_total: int | None = None,
) -> Iterator[Change]:
    """Begin a job, and attach it to its parent; `bytes_total` is what it has to copy, if known."""
    root, ordinal = uuid, 0
    if parent is not None:
        above = _running_job(state, parent, owner)
        if above.attempt:
            raise JobHasWorker(parent)
        if depth(state, above) == DEPTH_LIMIT:
            raise TooDeep(parent, DEPTH_LIMIT)
        root, ordinal = above.root, len(above.children)
    created = JobCreated(operation, owner, resources, root, parent, ordinal, bytes_total)
    yield Fact(job_stream(uuid), created)
    if parent is not None:
        yield Fact(job_stream(parent), ChildAttached(uuid))


def depth(state: State, job: Job) -> int:
    """Return how many levels the tree has from its root down to this job."""
    depth = 1
    above: Job | None = job
    while above is not None and above.parent is not None:
        above = state.job(above.parent)
        depth += 1
    return depth


def start_attempt(
    command: StartAttempt, state: State, environment: Environment
) -> Iterator[Change]:
    """Begin the attempt after the last; two workers cannot begin the same one."""
    job = _running_job(state, command.job)
    if job.children:
        raise JobHasChildren(command.job)
    if command.attempt != job.attempt + 1:
        raise StaleAttempt(command.job, command.attempt, job.attempt)
    yield Fact(
        job_stream(job.uuid),
        JobAttemptStarted(command.attempt, command.worker, command.fingerprint),
    )


def lose_attempt(command: LoseAttempt, state: State, environment: Environment) -> Iterator[Change]:
    """Record it once; a later report of the attempt revokes it, for the worker lives."""
    job = _reporting_job(state, command.job, command.attempt)
    if not job.lost:
        yield Fact(job_stream(job.uuid), JobAttemptLost(command.attempt))


def update_progress(
    command: UpdateProgress, state: State, environment: Environment
) -> Iterator[Change]:
    """Record progress, which never goes down."""
    job = _reporting_job(state, command.job, command.attempt)
    if not job.progress <= command.progress <= 100:  # noqa: PLR2004 - per cent
        raise ProgressWentBack(command.job, job.progress, command.progress)
    report = ProgressUpdated(
        command.attempt,
        command.progress,
        command.bytes_done,
        command.bytes_total,
        command.offset,
        command.bytes_verified,
    )
    yield Fact(job_stream(job.uuid), report)


def succeed_job(command: SucceedJob, state: State, environment: Environment) -> Iterator[Change]:
    job = _reporting_job(state, command.job, command.attempt)
    yield from end_in_success(state, environment, job)


def fail_job(command: FailJob, state: State, environment: Environment) -> Iterator[Change]:
    job = _reporting_job(state, command.job, command.attempt)
    yield from _end_in_failure(state, environment, job, command.error)


def cancel_job(command: CancelJob, state: State, environment: Environment) -> Iterator[Change]:
    """End the job, or all running jobs below it, the last of which settle those above.

    Raise `JobNotFound`, `JobOver`.
    """
    job = _running_job(state, command.job, command.owner)
    for leaf in list(_running_leaves(state, job)):
        yield from _end_in_cancellation(state, environment, leaf)


def label_job(command: LabelJob, state: State, environment: Environment) -> Iterator[Change]:
    """Change labels of a job, whether or not it has ended; what is so already is not recorded.

    Raise `BadLabel`, `TooManyLabels`, `LabelsFixed`, `JobNotFound`, `JobDiscarded`.
    """
    check_labels(command.labels, command.remove)
    job = own_job(state, command.job, command.owner)
    new = {key: value for key, value in command.labels.items() if job.labels.get(key) != value}
    removed = tuple(key for key in dict.fromkeys(command.remove) if key in job.labels)
    if not new and not removed:
        return
    if len(changed(job.labels, new, removed)) > LABELS_MOST:
        raise TooManyLabels(LABELS_MOST)
    if job.label_changes >= CHANGES_MOST:
        raise LabelsFixed(job.uuid, CHANGES_MOST)
    yield Fact(job_stream(job.uuid), JobLabelled(new, removed))


def own_job(state: State, uuid: str, owner: str) -> Job:
    """Return the owner's job, whether or not it has ended. Raise `JobNotFound`, `JobDiscarded`."""
    job = state.job(uuid)
    if job is not None and job.owner != owner:
        raise JobNotFound(uuid)
    is_gone = (job is None or job.ended is not None) and state.is_spent(uuid)
    if is_gone and state.spent_owner(uuid) == owner:
        raise JobDiscarded(uuid)
    if job is None or is_gone:
        raise JobNotFound(uuid)
    return job


def check_labels(labels: Mapping[str, str], removed: Sequence[str] = ()) -> None:
    """Raise `BadLabel` or `TooManyLabels` for what no job can be given at once."""
    wrong = wrong_label(labels, removed)
    if wrong is not None:
        raise BadLabel(wrong)
    if max(len(labels), len(removed)) > LABELS_MOST:
        raise TooManyLabels(LABELS_MOST)


def _running_leaves(state: State, job: Job) -> Iterator[Job]:
    if not job.children:
        yield job
    for child in job.children:
        if child.ended is None:
            yield from _running_leaves(state, _child(state, child.uuid))


def _child(state: State, uuid: str) -> Job:
    job = state.job(uuid)
    assert job is not None, f"there is no child job {uuid}"
    return job


def end_in_success(state: State, environment: Environment, job: Job) -> Iterator[Change]:
    """End the job in success: what it made is ready, and its parent may have succeeded too.

    A server that it made starts at once, if it has `auto_start`.
    """
    yield Fact(job_stream(job.uuid), JobSucceeded())
    drive, server = job.destination("drives"), job.destination("servers")
    if drive is not None:
        yield Fact(drive_stream(drive), DriveReady())
    if server is not None:
        yield from start_automatically(server, state, environment)
    yield from _tell_parent(state, environment, job, "success")


def _end_in_failure(
    state: State, environment: Environment, job: Job, error: str
) -> Iterator[Change]:
    """End the job in failure: what it and its sub-jobs made is removed."""
    yield Fact(job_stream(job.uuid), JobFailed(error))
    yield from _remove_what_it_made(state, job)
    yield from _tell_parent(state, environment, job, "failed")


def _end_in_cancellation(state: State, environment: Environment, job: Job) -> Iterator[Change]:
    """Cancel the job: what it and its sub-jobs made is removed."""
    yield Fact(job_stream(job.uuid), JobCancelled())
    yield from _remove_what_it_made(state, job)
    yield from _tell_parent(state, environment, job, "cancelled")


def _remove_what_it_made(state: State, job: Job) -> Iterator[Change]:
    """Remove it, but for what is in use: a running server, and a complete drive that is mounted."""
    server = state.server(job.destination("servers") or "")
    if server is not None and server.power == "stopped":
        yield from remove_server(state, server)
    drive = state.drive(job.destination("drives") or "")
    if drive is not None and not (drive.ready and state.relations(drive.uuid).servers):
        yield from remove_drive(state, drive)
    for child in job.children:
        yield from _remove_what_it_made(state, _child(state, child.uuid))


def _tell_parent(state: State, environment: Environment, job: Job, how: Ending) -> Iterator[Change]:
    """Tell the parent of the end; its last child to end settles it."""
    if job.parent is None:
        return
    yield Fact(job_stream(job.parent), ChildEnded(job.uuid, how))
    parent = state.job(job.parent)
    assert parent is not None, f"there is no parent {job.parent}"
    match parent.children.outcome:
        case None:
            return
        case "failed":
            failed = next(child for child in parent.children if child.ended == "failed")
            error = f"sub-job {failed.uuid} failed"
            yield from _end_in_failure(state, environment, parent, error)
        case "cancelled":
            yield from _end_in_cancellation(state, environment, parent)
        case "success":
            yield from end_in_success(state, environment, parent)


def _running_job(state: State, uuid: str, owner: str | None = None) -> Job:
    """Return the running job of ours; where an owner is given, it must be theirs."""
    job = state.job(uuid)
    if job is None or owner not in (None, job.owner) or job.produced is not None:
        raise JobNotFound(uuid)
    if job.state != "started":
        raise JobOver(uuid, job.state)
    return job


def _reporting_job(state: State, uuid: str, attempt: int) -> Job:
    """Return the running job that this attempt may report on."""
    job = _running_job(state, uuid)
    if job.children:
        raise JobHasChildren(uuid)
    if attempt != job.attempt or attempt == 0:
        raise StaleAttempt(uuid, attempt, job.attempt)
    return job
