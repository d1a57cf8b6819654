"""What a decision may look at, and what it may bring about.

A decision is a generator: it looks at the state, refuses by raising a `Refusal`, and yields
changes. Each change is in the state before the generator resumes, so a decision that yields a
child's end then sees the parent without that running child. If it refuses half way, nothing of it
remains. It need not check that what it creates is new: a taken id is refused as `AlreadyExists`.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.housekeeping import Act
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.relations import Relations
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.aggregates.token import Token
from ledger.domain.disk_space import DiskState
from ledger.domain.events import Event
from ledger.domain.events.tokens import TokenIssued
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.leases import Lease, LeaseChange
from ledger.domain.producers.texts import DropTexts
from ledger.domain.quotas import Counts, Quotas

A = TypeVar("A", bound=Act)

Scalar = str | int | float | bytes | None
Row = tuple[Scalar, ...]
RowKey = tuple[str, Row]
"""A table's name and a row's primary key."""
ImageData = Mapping[str, int | None]
"""How much data the images of drives have, without holes; None if unknown."""


class State(Counts, Protocol):
    """The current state, including the changes that the decision has yielded.

    Looking at a drive, a server or a keypair guards it: if another process changes it, or decides
    about it, at the same moment, one of the two decisions is made anew. So does discarding a tree
    of jobs with the tree.
    """

    @property
    def now(self) -> datetime:
        """The time that the events of this decision are stamped with."""

    @property
    def disk(self) -> DiskState:
        """How full the ledger's disk is."""

    def job(self, uuid: str) -> Job | None: ...

    def drive(self, uuid: str) -> Drive | None:
        """Return the drive, unless there never was one or it is deleted."""

    def server(self, uuid: str) -> Server | None:
        """Return the server, unless there never was one or it is deleted."""

    def relations(self, uuid: str) -> Relations:
        """Return what jobs, servers and tags say about this drive, server, keypair or account.

        This guards an account, too: none of its addresses must be given out twice.
        """

    def tag(self, uuid: str) -> Tag | None:
        """Return the tag, unless there never was one or it is deleted."""

    def keypair(self, uuid: str) -> Keypair | None:
        """Return the keypair, unless there never was one or it is deleted."""

    def token(self, token_id: str) -> Token | None:
        """Return the token, even a removed one; this guards nothing."""

    def profile(self, account: str) -> Profile:
        """Return the account's profile, which every account has; this guards nothing."""

    def act(self, kind: type[A], stream: str) -> A | None:
        """Return one of the ledger's own acts, if there is one of this kind under this name."""

    def data_bytes(self, drives: Iterable[Drive]) -> ImageData:
        """Return how much data the images of at least these drives have.

        A decision touches no pool, which might hang: raise `NotMeasured` if that was not read for
        this command before.
        """

    def guard(self, root: str) -> int:
        """Return how often the guard of the tree of this root was raised, and rest on that.

        Whatever is recorded about a job that has ended raises the guard of its tree.
        """

    def is_spent(self, job: str) -> bool:
        """Return whether a job with this uuid was discarded, however long ago.

        If not, the decision rests on that: it is made anew if the job has been discarded meanwhile.
        """

    def spent_owner(self, job: str) -> str | None:
        """Return whose the discarded job was, as far as that is known."""

    def lease(self, job: str) -> Lease | None:
        """Return what is expected next of a producer's job, as the store has it; read it anew."""

    def alive(self, root: str) -> Sequence[str]:
        """Return the jobs of this tree on which somebody works as far as is known.

        Whoever begins to work on one, or comes back to life, raises the guard of the tree if a job
        above may end without it.
        """

    def parents(self, jobs: Collection[str]) -> Collection[str]:
        """Return the jobs that have one of these right below them."""

    def is_due(self, job: str, due: int) -> bool:
        """Return whether nothing was heard of the job since its lease was found to end then.

        If so, the decision rests on that.
        """

    def registered_as(self, external: ExternalId) -> str | None:
        """Return the job that has this id.

        If there is none, the decision rests on that: it is made anew if another job takes the id.
        """

    def peek(self, uuid: str) -> Drive | Server | None:
        """Return the drive or server without guarding it.

        For wishes, which may no longer hold when the decision is recorded.
        """


class Fact(NamedTuple):
    """An event for a stream."""

    stream: str
    event: Event


class SetVncPassword(Struct, frozen=True, gc=False):
    server: str
    vnc_password: str


class CopyVncPassword(Struct, frozen=True, gc=False):
    server: str
    source: str


class DropVncPassword(Struct, frozen=True, gc=False):
    server: str


class SetPersonal(Struct, frozen=True, gc=False):
    """Fields of an account's profile whose values are private."""

    account: str
    fields: Mapping[str, str]


class AddToken(Struct, frozen=True, gc=False):
    """A token that was issued, unless the account or this version of its password is gone."""

    token: str
    token_hash: bytes
    issued: TokenIssued
    created: datetime
    password_version: int | None = None


class DropTokens(Struct, frozen=True, gc=False):
    """Tokens that are refused from now on, and for a while known as removed ones."""

    owner: str
    tokens: tuple[str, ...]
    removed: datetime


Secret = SetVncPassword | CopyVncPassword | DropVncPassword | SetPersonal | AddToken | DropTokens
"""A change of a plain table in the same transaction; secrets stay out of the ledger."""


class Discarded(NamedTuple):
    """These streams are no longer shown; `rows` are all rows that show them.

    `owners` are those of the jobs among them.
    """

    streams: tuple[str, ...]
    rows: tuple[RowKey, ...]
    owners: Mapping[str, str] = MappingProxyType({})


Change = Fact | Secret | DropTexts | Discarded | LeaseChange


class PoolSpace(NamedTuple):
    """A pool as placement sees it; it is `here` if this process has it mounted.

    What is left in a `full` one must stay free; it may take `free_files` more files. A `silent` one
    does not answer just now. Only processes that have mounted the pool know these.
    """

    name: str
    storage_type: str
    free_bytes: int
    here: bool = True
    full: bool = False
    free_files: int = sys.maxsize
    silent: bool = False


class Environment(Protocol):
    """What a decision needs and cannot compute: ids, randomness and the current pools."""

    def new_id(self) -> str: ...

    def new_mac(self) -> str: ...

    def address_range(self) -> IPv4Network:
        """Return the network that cards with DHCP get their addresses from."""

    def pools(self) -> tuple[PoolSpace, ...]:
        """Return the pools of this process and those of workers elsewhere, as far as known now."""

    def within_reach(self, source: str, pool: str) -> bool:
        """Whether some process has both pools and can copy from the first to the second."""

    @property
    def quotas(self) -> Quotas: ...

    def hosts(self) -> tuple[str, ...]:
        """Return the compute hosts that servers are placed on; at least one."""
