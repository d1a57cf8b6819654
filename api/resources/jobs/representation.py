"""Jobs, their history and their statistics as the API shows them."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Annotated, Any, Literal, NamedTuple, get_args

from msgspec import UNSET, Meta, UnsetType

from api.http.fields import Count, Representation, Time, Uuid, about, uri_pattern
from api.text.urls import API_ROOT
from ledger.codec import decode, fields_of
from ledger.domain.aggregates.job import JobState
from ledger.store.parameters import timestamp
from ledger.store.seam import LoggedEvent
from projections.estimates import UNKNOWN, estimate
from projections.tables import JobRow
from projections.views.activity import Activity
from projections.views.jobs import OPERATIONS_MOST
from projections.views.read_models import JobTree

Phase = Literal["waiting", "working", "verifying"]

_NULLABLE = {"nullable": True}


class JobData(Representation, frozen=True):
    """How far the job is. Figures are there while it runs, if any bytes are known.

    `source`, `skipped` and `lost` are of producers' jobs.
    """

    progress: Annotated[
        int,
        about(
            "Per cent of the work, verification included; for a job with children, the mean of"
            " theirs, weighted by their bytes if all are known. A producer's job that reports has"
            " its own.",
            ge=0,
            le=100,
        ),
    ]
    phase: (
        Annotated[
            Phase,
            about(
                "What the job is doing: `waiting` for its turn, `working`, or `verifying` what it"
                " has copied. For a job with children, what those do that have begun."
            ),
        ]
        | UnsetType
    ) = UNSET
    bytes_done: Annotated[Count, about("Bytes durably copied so far.")] | UnsetType = UNSET
    bytes_total: (
        Annotated[
            Count | None,
            about(
                "Bytes to copy in all, those of children that wait included. It is stated once and"
                " does not change; null while it is not known of all children."
            ),
        ]
        | UnsetType
    ) = UNSET
    bytes_verified: (
        Annotated[
            Count, about("Bytes compared with the source so far; only if copies are verified.")
        ]
        | UnsetType
    ) = UNSET
    bytes_per_s: (
        Annotated[
            Count | None,
            about("Speed of what it is doing, from its reports; null if unknown."),
        ]
        | UnsetType
    ) = UNSET
    eta_s: (
        Annotated[
            Annotated[int, Meta(ge=1)] | None,
            about(
                "Estimated seconds until the end of all its work; null if unknown, as in the first"
                " second, when a report is overdue, or before the speed of a verification was"
                " measured."
            ),
        ]
        | UnsetType
    ) = UNSET
    error: Annotated[str, about("Why the job failed.")] | UnsetType = UNSET
    source: (
        Annotated[str, about("The producer: another program, whose job this is.")] | UnsetType
    ) = UNSET
    ended: (
        Annotated[Time, about("When it ended, if its last change, such as a label, came later.")]
        | UnsetType
    ) = UNSET
    skipped: (
        Annotated[
            Literal[True],
            about("Present, and true, if a producer's job succeeded because nothing was to do."),
        ]
        | UnsetType
    ) = UNSET
    lost: (
        Annotated[
            Literal[True],
            about(
                "Present, and true, while nothing is heard of a producer's job, or of one below it,"
                " that has to report. Its next report takes that back."
            ),
        ]
        | UnsetType
    ) = UNSET
    worker_lost: (
        Annotated[
            Literal[True],
            about(
                "Present, and true, while the worker of the job or of one below it is considered"
                " dead because its heartbeats have stopped. Another worker takes over."
            ),
        ]
        | UnsetType
    ) = UNSET


class Job(Representation, frozen=True):
    """Always has these nine keys."""

    uuid: Annotated[Uuid, Meta(extra={"unique": True})]
    resource_uri: Annotated[str, Meta(pattern=uri_pattern("/jobs"), extra={"readonly": True})]
    operation: Annotated[str, Meta(title="Operation", extra=_NULLABLE)]
    state: Annotated[
        str,
        about(
            "It is final once the job has ended. A producer's job is `started` also while it"
            " waits, and a `success` also if it was skipped.",
            extra={"default": "started"},
            extra_json_schema={"enum": list(get_args(JobState))},
        ),
    ]
    data: Annotated[
        JobData,
        Meta(
            extra={
                "help_text": "Meta information related to this background job's execution.",
                **_NULLABLE,
            }
        ),
    ]
    created: Time
    last_modified: Annotated[
        Time, about("The last change; of a job that has ended, that is mostly its end.")
    ]
    resources: Annotated[
        tuple[Annotated[str, Meta(pattern=uri_pattern())], ...],
        about(
            "URIs of the source and the destination, sorted; deleted ones are left out.",
            extra={"help_text": "Resources linked to this background job.", **_NULLABLE},
        ),
    ]
    children: Annotated[
        tuple["Job", ...],
        about(
            "The jobs below it, each with its own children.",
            extra={
                "help_text": "Background jobs, initiated by this job.",
                "type": "related",
                **_NULLABLE,
            },
        ),
    ]


def represent_job(tree: JobTree, now: datetime | None) -> Job:
    """Return a job with all below it: a running one with its bytes, a failed one with its error.

    Speed and time left are as of `now`, and unknown if that is None. Every process returns the
    same: it looks at nothing but what is recorded.
    """
    return _told(tree, now).shown


class _Told(NamedTuple):
    """A job as it is shown, and what its parent's figures are computed from.

    `weight` is by how many bytes it counts in its parent's progress; None if nobody knows.
    `is_lost`: whoever does it, or a job below it, has fallen silent.
    """

    shown: Job
    progress: int
    weight: int | None
    leaves: Sequence[JobRow]
    is_lost: bool


def _told(tree: JobTree, now: datetime | None) -> _Told:
    job, below = tree.job, tree.children
    children = [_told(child, now) for child in below] if below else []
    leaves = [leaf for child in children for leaf in child.leaves] if children else [job]
    weight = _sum([child.weight for child in children]) if children else job.weight
    is_lost = bool(job.worker_lost) or any(child.is_lost for child in children)
    progress = job.progress
    if children and job.state != "success" and not (job.source is not None and progress):
        progress = _progress(children)
    if job.source is None:
        data = _data(job, progress, leaves, weight if children else job.bytes_total, now)
    else:
        data = _data_of_producer(job, progress, leaves, is_lost=is_lost)
    shown = Job(
        uuid=job.uuid,
        resource_uri=f"{API_ROOT}/jobs/{job.uuid}/",
        operation=job.operation,
        state=job.state,
        data=data,
        created=job.created,
        last_modified=job.last_modified,
        resources=tuple(f"{API_ROOT}/{named}/" for named in tree.resources),
        children=tuple(child.shown for child in children),
    )
    return _Told(shown, progress, weight, leaves, is_lost)


def _data_of_producer(
    job: JobRow, progress: int, leaves: Sequence[JobRow], *, is_lost: bool
) -> JobData:
    assert job.source is not None, f"job {job.uuid} is ours"
    return JobData(
        progress,
        phase=_phase(leaves) if job.state == "started" else UNSET,
        error=UNSET if job.error is None else job.error,
        source=job.source,
        ended=_ended(job),
        skipped=True if job.outcome == "skipped" else UNSET,
        lost=True if is_lost else UNSET,
    )


def _data(
    job: JobRow, progress: int, leaves: Sequence[JobRow], total: int | None, now: datetime | None
) -> JobData:
    """Return how far these jobs are; `total` is how many bytes they copy, if that is known."""
    worker_lost: Literal[True] | UnsetType = UNSET
    if any(leaf.worker_lost for leaf in leaves):
        worker_lost = True
    if job.state != "started":
        error = UNSET if job.error is None else job.error
        return JobData(progress, error=error, ended=_ended(job), worker_lost=worker_lost)
    if total is None and all(leaf.bytes_total is None for leaf in leaves):
        return JobData(progress, worker_lost=worker_lost)
    rate, eta_s = UNKNOWN if now is None else estimate(leaves, now)
    verified = [leaf.bytes_verified for leaf in leaves if leaf.bytes_verified is not None]
    return JobData(
        progress,
        phase=_phase(leaves),
        bytes_done=sum(leaf.bytes_done for leaf in leaves),
        bytes_total=total,
        bytes_verified=sum(verified) if verified else UNSET,
        bytes_per_s=None if rate is None else round(rate),
        eta_s=None if eta_s is None else ceil(eta_s),
        worker_lost=worker_lost,
    )


def _ended(job: JobRow) -> str | UnsetType:
    return UNSET if job.ended is None or job.ended == job.last_modified else job.ended


def _progress(children: Sequence[_Told]) -> int:
    """Return the mean of the children's progress, weighted by their bytes if all are known."""
    weights = [child.weight for child in children]
    total = _sum(weights)
    if not total:
        return sum(child.progress for child in children) // len(children)
    return sum(child.progress * (child.weight or 0) for child in children) // total


def _phase(leaves: Sequence[JobRow]) -> Phase:
    at_work = [leaf for leaf in leaves if leaf.state == "started" and leaf.began is not None]
    if not at_work:
        return "waiting"
    return "working" if any(leaf.copied is None for leaf in at_work) else "verifying"


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Return the sum of numbers that are all known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


# Besides jobs themselves


class JobActionResult(Representation, frozen=True, kw_only=True):
    action: Literal["cancel"] = "cancel"
    result: Literal["success"] = "success"
    uuid: Uuid


class Bucket(Representation, frozen=True):
    at: Time
    created: Count
    success: Count
    failed: Count
    cancelled: Count
    running: int
    copied_bytes: Count


class JobStatistics(Representation, frozen=True):
    """What jobs did over time."""

    bucket_s: Annotated[int, about("Length of a bucket in seconds.", ge=60)]
    buckets: Annotated[tuple[Bucket, ...], Meta(max_length=301)]
    operations: Annotated[
        tuple[str, ...],
        Meta(description="Of all jobs, in order.", max_length=OPERATIONS_MOST),
    ]


def represent_activity(found: Activity, operations: Sequence[str]) -> JobStatistics:
    buckets = (Bucket(timestamp(each.at), *each[1:]) for each in found.buckets)
    return JobStatistics(round(found.length.total_seconds()), tuple(buckets), tuple(operations))


class JobEvent(Representation, frozen=True):
    position: Annotated[int, about("Its position in the whole ledger.", ge=1)]
    leaf_index: Annotated[int, about("Its index among the leaves of the Merkle tree.", ge=0)]
    version: Annotated[int, about("Its number in the job's history.", ge=1)]
    recorded_at: Time
    actor: Annotated[
        str | None,
        about("The account, `worker:` and its name, or the service itself; null for anybody else."),
    ]
    request_id: Annotated[
        str | None, about("The id of the request that caused it; empty if none did.")
    ]
    event: Annotated[
        str,
        about("What happened, and the version of its stored form.", pattern="^[a-z-]+/[0-9]+$"),
    ]
    fields: Annotated[dict[str, Any], about("The fields of the event.")]
    leaf: Annotated[
        str, about("The hash of the stored event (RFC 6962).", pattern="^[0-9a-f]{64}$")
    ]


def represent_event(event: LoggedEvent, owner: str) -> JobEvent:
    """Return an event of a job, for the job's owner.

    The owner, workers and the service itself act on jobs. If anybody else did, the owner learns
    neither who it was nor in which request.
    """
    recorded = decode(event.topic, event.state)
    actor = recorded.actor
    may_know = actor == owner or ":" in actor or actor == "system"
    return JobEvent(
        position=event.position,
        leaf_index=event.leaf_index,
        version=event.version,
        recorded_at=timestamp(recorded.recorded_at),
        actor=actor if may_know else None,
        request_id=recorded.request_id if may_know else None,
        event=event.topic,
        fields=fields_of(recorded.event),
        leaf=event.leaf.hex(),
    )
