"""The jobs above one: which may have another sub-job, and whether their ends hear of it."""

from ledger.domain.aggregates.job import Job
from ledger.domain.context import State
from ledger.domain.decisions.jobs import DEPTH_LIMIT, depth
from ledger.domain.decisions.producers.losses import LOSSES_TOLD, losses_of
from ledger.domain.errors import producers as errors
from ledger.domain.errors.jobs import TooDeep
from ledger.domain.producers.limits import CHILDREN_MOST


def future_parent(state: State, uuid: str, owner: str) -> Job:
    """Return the job that is to have a sub-job; raise why it cannot."""
    above = state.job(uuid)
    if above is None or above.owner != owner or above.produced is None:
        raise errors.ParentUnknown(uuid)
    if above.state != "started":
        raise errors.ParentOver(uuid, above.state)
    if above.produced.sealed:
        raise errors.GroupSealed(uuid)
    if len(above.children) >= CHILDREN_MOST:
        raise errors.TooManyChildren(uuid, CHILDREN_MOST)
    if depth(state, above) == DEPTH_LIMIT:
        raise TooDeep(uuid, DEPTH_LIMIT)
    if above.lost or losses_of(above) >= LOSSES_TOLD or _may_end_above(state, above):
        state.guard(above.root)
    return above


def rest_on_those_above(state: State, job: Job) -> None:
    """Let whoever ends a job above this one hear that somebody works on it."""
    if _may_end_above(state, job):
        state.guard(job.root)


def _may_end_above(state: State, job: Job) -> bool:
    """Return whether a job above this one may end while this one goes on.

    Groups end after those below them, unless they are abandoned.
    """
    while job.parent is not None:
        above = state.job(job.parent)
        if above is None:
            return False
        is_group = above.produced is not None and above.produced.is_group
        if not is_group or above.lost or losses_of(above) >= LOSSES_TOLD:
            return True
        job = above
    return False
