"""Jobs, their history and their statistics as the API shows them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from api.http.responses import JsonObject
from api.text.urls import API_ROOT
from ledger.codec import decode, fields_of
from ledger.images.figures import Figures
from ledger.store.parameters import timestamp
from ledger.store.seam import LoggedEvent
from projections.tables import JobRow
from projections.views.activity import Activity
from projections.views.read_models import JobTree

LiveFigures = Callable[[str], Figures | None]


def job_json(tree: JobTree, figures: LiveFigures) -> JsonObject:
    """Return a job with all below it: a running one with its bytes, a failed one with its error."""
    return _told(tree, figures).json


def no_figures(_: str) -> None:
    """Return no figures: the `LiveFigures` of answers that show only what is recorded."""


def is_moving(tree: JobTree, figures: LiveFigures) -> bool:
    """Whether the job or one below it has live figures."""
    if figures(tree.job.uuid) is not None:
        return True
    return any(is_moving(child, figures) for child in tree.children)


class _Copied(NamedTuple):
    """The progress of a copy, or of several together; `rate` is in bytes per second."""

    bytes_done: int
    bytes_total: int
    rate: float
    eta_s: float | None


class _Told(NamedTuple):
    """A job as it is shown, and what its parent's figures are computed from."""

    json: JsonObject
    progress: int
    copied: _Copied | None
    worker_lost: bool


def _told(tree: JobTree, figures: LiveFigures) -> _Told:
    job, below = tree.job, tree.children
    children = [_told(child, figures) for child in below] if below else []
    progress = job.progress
    if children and job.state != "success":
        progress = sum(child.progress for child in children) // len(children)
    data: JsonObject = {"progress": progress}
    copied = _together(children) if children else _copied(job, figures)
    if job.state == "started" and copied is not None:
        data["bytes_done"] = copied.bytes_done
        data["bytes_total"] = copied.bytes_total
        data["bytes_per_s"] = round(copied.rate)
        data["eta_s"] = None if copied.eta_s is None else round(copied.eta_s)
    elif job.error is not None:
        data["error"] = job.error
    worker_lost = bool(job.worker_lost) or any(child.worker_lost for child in children)
    if worker_lost:
        data["worker_lost"] = True
    shown: JsonObject = {
        "uuid": job.uuid,
        "resource_uri": f"{API_ROOT}/jobs/{job.uuid}/",
        "operation": job.operation,
        "state": job.state,
        "data": data,
        "created": job.created,
        "last_modified": job.last_modified,
        "resources": [f"{API_ROOT}/{named}/" for named in tree.resources],
        "children": [child.json for child in children],
    }
    return _Told(shown, progress, copied, worker_lost)


def _copied(job: JobRow, figures: LiveFigures) -> _Copied | None:
    """Return the live figures of a copy, or else the recorded ones; None before both."""
    live = figures(job.uuid) if job.state == "started" else None
    # A copy that has just begun does not know its total yet; the record may.
    if live is not None and live.bytes_total:
        return _Copied(live.bytes_done, live.bytes_total, live.bytes_per_s, live.eta_s)
    if job.bytes_total:
        return _Copied(job.bytes_done, job.bytes_total, 0.0, None)
    return None


def _together(children: Sequence[_Told]) -> _Copied | None:
    copies = [child.copied for child in children if child.copied is not None]
    if not copies:
        return None
    done = sum(copy.bytes_done for copy in copies)
    total = sum(copy.bytes_total for copy in copies)
    rate = sum(copy.rate for copy in copies)
    return _Copied(done, total, rate, (total - done) / rate if rate > 0 else None)


def activity_json(told: Activity) -> JsonObject:
    """Return what jobs did over time; `bucket_s` is the length of each bucket in seconds."""
    return {
        "bucket_s": round(told.length.total_seconds()),
        "buckets": [
            {
                "at": timestamp(bucket.at),
                "created": bucket.created,
                "success": bucket.success,
                "failed": bucket.failed,
                "cancelled": bucket.cancelled,
                "running": bucket.running,
                "copied_bytes": bucket.copied_bytes,
            }
            for bucket in told.buckets
        ],
    }


def event_json(event: LoggedEvent, owner: str) -> JsonObject:
    """Return an event of a job, for the job's owner.

    The owner, workers and the service itself act on jobs. If anybody else did, the owner learns
    neither who it was nor in which request.
    """
    recorded = decode(event.topic, event.state)
    actor = recorded.actor
    may_know = actor == owner or ":" in actor or actor == "system"
    return {
        "position": event.position,
        "leaf_index": event.leaf_index,
        "version": event.version,
        "recorded_at": timestamp(recorded.recorded_at),
        "actor": actor if may_know else None,
        "request_id": recorded.request_id if may_know else None,
        "event": event.topic,
        "fields": fields_of(recorded.event),
        "leaf": event.leaf.hex(),
    }
