"""Quotas: how many things an account may own. Pure.

A decision is refused once it has made more than the quota allows. It does not know what other
processes make at the same moment, so an account may exceed its quota by a few things.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol, get_args

from msgspec import Struct

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.drive import LIBRARY, Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.errors.quotas import QuotaExceeded, TooManyUploads
from ledger.domain.events import Event
from ledger.domain.events.drives import DriveCreated
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.domain.events.jobs import JobCreated
from ledger.domain.events.keypairs import KeypairCreated
from ledger.domain.events.servers import ServerCreated
from ledger.domain.events.tags import TagCreated

Kind = Literal[
    "drives",
    "servers",
    "addresses",
    "tags",
    "keypairs",
    "unfinished-uploads",
    "jobs-running",
    "jobs-kept",
]
"""The kinds of things that are counted."""

EVERYBODY = ""
"""Stands for all accounts together."""


class Quotas(Struct, frozen=True, kw_only=True, gc=False):
    """How many things of each kind an account may own, or have a tag; 0 is no limit."""

    drives: int = 0
    servers: int = 0
    addresses: int = 0
    """In use by running servers."""
    tags: int = 0
    keypairs: int = 0
    unfinished_uploads: int = 0
    unfinished_uploads_of_all: int = 0
    jobs_running: int = 0
    jobs_kept: int = 0
    things_per_tag: int = 0
    tags_per_thing: int = 0
    servers_per_drive: int = 0
    tag_changes: int = 0
    """By one command, which all others wait for."""
    ledger_bytes_a_day: int = 0
    """Bytes of the events that the account's own commands record."""


NO_QUOTAS = Quotas()


class Holding(NamedTuple):
    """A thing of a kind, counted for its owner."""

    owner: str
    kind: Kind


class Counts(Protocol):
    """Knows how many things accounts own."""

    def exceeds(self, holding: Holding, limit: int, more: int = 0) -> bool:
        """Return whether `more` things of this kind would take the owner beyond the limit."""


def holdings_of(state: Aggregate | None) -> tuple[Holding, ...]:
    """Return how the aggregate counts, if at all."""
    match state:
        case Drive(deleted=None):
            return _drive(state.owner, unfinished=state.origin == "chunked" and not state.ready)
        case Server(deleted=None):
            addresses = (Holding(state.owner, "addresses"),) * len(state.ips())
            return (Holding(state.owner, "servers"), *addresses)
        case Tag(deleted=None):
            return (Holding(state.owner, "tags"),)
        case Keypair(deleted=None):
            return (Holding(state.owner, "keypairs"),)
        case Job():
            kept = Holding(state.owner, "jobs-kept")
            running = Holding(state.owner, "jobs-running")
            return (kept, running) if state.state == "started" else (kept,)
        case _:
            return ()


def begun_by(event: Event) -> tuple[Holding, ...]:
    """Return how a new thing counts, if this event is the first of its stream."""
    match event:
        case DriveCreated():
            return _drive(event.owner, unfinished=event.origin == "chunked")
        case ServerCreated():
            return (Holding(event.owner, "servers"),)
        case TagCreated():
            return (Holding(event.owner, "tags"),)
        case KeypairCreated():
            return (Holding(event.owner, "keypairs"),)
        case JobCreated():
            return Holding(event.owner, "jobs-kept"), Holding(event.owner, "jobs-running")
        case _:
            return ()


def discarded_by(event: Event) -> tuple[Holding, ...]:
    """Return how each job counted that this event discards."""
    if not isinstance(event, JobsDiscarded):
        return ()
    return tuple(Holding(tree.owner, "jobs-kept") for tree in event.trees for _ in tree.jobs)


def _drive(owner: str, *, unfinished: bool) -> tuple[Holding, ...]:
    drive = Holding(owner, "drives")
    if not unfinished:
        return (drive,)
    kind: Kind = "unfinished-uploads"
    return drive, Holding(owner, kind), Holding(EVERYBODY, kind)


def check_quota(holding: Holding, counts: Counts, quotas: Quotas, more: int = 0) -> None:
    """Raise `QuotaExceeded` or `TooManyUploads` if `more` would exceed the owner's quota.

    The library has no quota: only the operator adds to it.
    """
    limit = _limit(holding, quotas)
    if not limit or holding.owner == LIBRARY or not counts.exceeds(holding, limit, more):
        return
    if holding.kind == "unfinished-uploads":
        raise TooManyUploads(limit, of_all=holding.owner == EVERYBODY)
    raise QuotaExceeded(holding.kind, limit)


def _limit(holding: Holding, quotas: Quotas) -> int:
    """Return the quota that has the name of the kind."""
    name = _QUOTAS[holding.kind]
    return int(getattr(quotas, f"{name}_of_all" if holding.owner == EVERYBODY else name))


_QUOTAS: Mapping[Kind, str] = {kind: kind.replace("-", "_") for kind in get_args(Kind)}
