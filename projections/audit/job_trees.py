"""Checks that parents and children agree about each other."""

from collections.abc import Mapping

from ledger.domain.aggregates.job import Job
from ledger.domain.events import Event
from ledger.domain.events.jobs import ChildAttached, ChildEnded, JobCreated, job_stream
from projections.audit.findings import Divergence, StreamState, divergence_at


class JobTrees:
    """The jobs among these streams, as far as they are replayed."""

    def __init__(self, streams: Mapping[str, StreamState]) -> None:
        self._streams = streams

    def job(self, uuid: str) -> Job | None:
        stream = self._streams.get(job_stream(uuid))
        return stream.state if stream is not None and isinstance(stream.state, Job) else None

    def tree(self, root: Job) -> list[Job]:
        """Return the job and all below it that are known, each after its parent."""
        family = [root]
        for job in family:  # grows as it goes
            children = (self.job(child.uuid) for child in job.children)
            family += [child for child in children if child is not None]
        return family

    def contradiction(self, stream: str, event: Event) -> str | None:
        """Return where this event contradicts its parent or child."""
        match event:
            case JobCreated(parent=str(parent), root=root, owner=owner):
                above = self.job(parent)
                if above is None or above.state != "started" or above.root != root:
                    return f"parent {parent} is not a running job of the same tree"
                if above.owner != owner:
                    return f"parent {parent} belongs to another account"
            case ChildAttached(child=child):
                below = self.job(child)
                if below is None or job_stream(below.parent or "") != stream:
                    return f"job {child} does not name this job as its parent"
                above = self.job(below.parent or "")
                if above is None or (above.produced is None) != (below.produced is None):
                    return f"job {child} is a producer's, or this job is, but not both"
            case ChildEnded(child=child, how=how):
                below = self.job(child)
                if below is None or below.state != how:
                    return f"job {child} did not end as {how}"
            case _:
                pass
        return None

    def unfinished(self) -> Divergence | None:
        """Return a child that its parent lists wrongly, or a parent that outlived its children."""
        for stream in self._streams.values():
            job = stream.state
            if not isinstance(job, Job):
                continue
            if job.parent is not None and not self._is_listed(job):
                return divergence_at(stream.last, f"parent {job.parent} does not list it so")
            if job.state == "started" and _should_have_ended(job):
                return divergence_at(stream.last, "all its children have ended, but not the job")
        return None

    def _is_listed(self, job: Job) -> bool:
        """Return whether its parent lists the job, with its end if it has ended."""
        parent = self.job(job.parent or "")
        child = None if parent is None else parent.children.get(job.uuid)
        if parent is None or child is None:
            return False
        if parent.produced is not None and child.ended is None:
            # A job that ends by itself is not told, nor is a group that was abandoned before.
            return (
                job.state == "started" or not parent.produced.is_group or parent.state != "started"
            )
        return (child.ended or "started") == job.state


def _should_have_ended(job: Job) -> bool:
    """Return whether all sub-jobs have ended, and the job ends with them."""
    if job.produced is None:
        return job.children.outcome is not None
    return job.produced.sealed and not job.children.running
