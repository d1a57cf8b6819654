"""The state of a job as the API of producers words it, and its conditions. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.events.producers import Outcome
from ledger.domain.producers import leases

State = Literal["queued", "running"] | Outcome
"""Nobody works on it, yet or until a retry; it goes on; or how it ended."""
ConditionType = Literal[
    "lost",
    "overdue",
    "waiting",
    "children_running",
    "cancel_requested",
    "cancel_acknowledged",
]

_ENDED: dict[str, Outcome] = {
    "success": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""How jobs of ours end; those of producers say it themselves."""


class Condition(NamedTuple):
    type: ConditionType
    since: datetime


def state_of(job: Job) -> State:
    """Return the state of any job; one of ours waits until a worker has begun with it."""
    produced = job.produced
    if job.state != "started":
        return (produced and produced.outcome) or _ENDED[job.state]
    queued = not (job.attempt or job.children) if produced is None else produced.queued
    return "queued" if queued else "running"


def recorded_conditions(produced: Produced) -> Iterator[Condition]:
    """Yield what holds because an event says so, and for no other reason."""
    if produced.lost_since is not None:
        yield Condition("lost", produced.lost_since)
    if produced.waiting_since is not None:
        yield Condition("waiting", produced.waiting_since)
    if produced.outcome is None and produced.cancel is not None:
        yield Condition("cancel_requested", produced.cancel.at)
    if produced.outcome is None and produced.cancel_seen is not None:
        yield Condition("cancel_acknowledged", produced.cancel_seen)


def overdue_since(job: Job) -> datetime | None:
    """Return from when on the attempt takes longer than was said; None if it need not.

    It may be in the future.
    """
    return None if job.ended is not None else leases.overdue_since(job)


def may_have_children_running(job: Job) -> bool:
    """Whether jobs below it may still run although it has ended: it is not told of their ends."""
    return job.ended is not None and job.produced is not None and bool(job.children)
