"""What a commit changes of what is shown. Pure.

The feed, long polls and the index of jobs follow from this alone.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.token import Token
from ledger.domain.events import Event
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.store.seam import Commit


class JobChanged(NamedTuple):
    """Something happened to a job; `job` is as it is after the commit."""

    job: Job
    event: Event


class JobsGone(NamedTuple):
    """Jobs of an account that are not shown any more."""

    owner: str
    jobs: tuple[str, ...]


class ThingChanged(NamedTuple):
    """Something other than a job changed; `kind` is the first word of its stream's name."""

    kind: str
    uuid: str
    owner: str
    gone: bool
    """Whether it is deleted, though others may still name it."""


class RelationsChanged(NamedTuple):
    """A drive or server is shown differently because others changed that name it."""

    uuid: str


Change = JobChanged | JobsGone | ThingChanged | RelationsChanged


def changes_of(commit: Commit) -> Iterator[Change]:
    for stream, state in commit.states.items():
        if not isinstance(state, Job | Token):  # its events tell of a job; nobody sees tokens
            kind, _, uuid = stream.partition("-")
            yield ThingChanged(kind, uuid, state.owner, _is_gone(state))
    for stream, recorded in commit.events:
        state = commit.states[stream]
        if isinstance(state, Job):
            yield JobChanged(state, recorded.event)
        elif isinstance(recorded.event, JobsDiscarded):
            for tree in recorded.event.trees:
                yield JobsGone(tree.owner, tuple(tree.jobs))
    yield from map(RelationsChanged, sorted(commit.related))


def _is_gone(state: Aggregate) -> bool:
    return isinstance(state, Drive | Server | Keypair) and state.deleted is not None
