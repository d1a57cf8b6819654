"""Whether parents and children say the same of each other."""

from collections.abc import Mapping

from ledger.domain.aggregates.job import Child, Job
from ledger.domain.events import ChildAttached, ChildEnded, Event, JobCreated, job_stream
from projections.audit.findings import Divergence, Held, divergence_at


class Families:
    """The jobs among the streams that are held, as far as these are replayed."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held

    def job(self, uuid: str) -> Job | None:
        held = self._held.get(job_stream(uuid))
        return held.state if held is not None and isinstance(held.state, Job) else None

    def tree(self, root: Job) -> list[Job]:
        """The job and all that are held below it, each after its parent."""
        family = [root]
        for job in family:  # grows as it goes
            children = (self.job(child.uuid) for child in job.children)
            family += [child for child in children if child is not None]
        return family

    def contradiction(self, stream: str, event: Event) -> str | None:
        """Where this event says something else of a parent or child than they do."""
        match event:
            case JobCreated(parent=str(parent), root=root, owner=owner):
                above = self.job(parent)
                if above is None or above.state != "started" or above.root != root:
                    return f"parent {parent} is not a running job of the same tree"
                if above.owner != owner:
                    return f"parent {parent} is somebody else's"
            case ChildAttached(child=child):
                below = self.job(child)
                if below is None or job_stream(below.parent or "") != stream:
                    return f"job {child} does not say that this is its parent"
            case ChildEnded(child=child, how=how):
                below = self.job(child)
                if below is None or below.state != how:
                    return f"job {child} did not end so: {how}"
            case _:
                pass
        return None

    def unfinished(self) -> Divergence | None:
        """A child that its parent does not know, or a parent that its children did not settle."""
        for held in self._held.values():
            job = held.state
            if not isinstance(job, Job):
                continue
            if job.parent is not None and not self._is_known(job):
                return divergence_at(held.last, f"parent {job.parent} does not know of it so")
            ended = [child.ended for child in job.children]
            if job.state == "started" and ended and all(ended):
                return divergence_at(held.last, "all its children have ended, but not the job")
        return None

    def _is_known(self, job: Job) -> bool:
        """Whether its parent knows of the job, and of its end if it has ended."""
        parent = self.job(job.parent or "")
        ended = None if job.state == "started" else job.state
        return parent is not None and Child(job.uuid, ended) in parent.children
