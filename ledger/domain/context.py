"""What a decision may look at, and what it may bring about.

A decision is a generator: it looks at the state, refuses by raising a `Refusal`, and yields
changes. Each change holds in the state by the time the generator goes on, so a decision that yields
a child's end sees the parent as it is after it. If it refuses half way, nothing of it remains. That
what it makes is new it need not check: an id that is taken is refused as `AlreadyExists`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.housekeeping import Act
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.relations import Relations
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.events import Event

A = TypeVar("A", bound=Act)

Scalar = str | int | float | bytes | None
Row = tuple[Scalar, ...]
RowKey = tuple[str, Row]
"""A table's name and a row's primary key."""


class State(Protocol):
    """The current state of things, as of the last change.

    Looking at a drive or a server guards it: if another process changes it, or decides on it, at
    the same moment, one of the two is decided anew.
    """

    @property
    def now(self) -> datetime:
        """The moment that is stamped on what comes of this decision."""

    def job(self, uuid: str) -> Job | None: ...

    def drive(self, uuid: str) -> Drive | None:
        """The drive, unless it never was or is deleted."""

    def server(self, uuid: str) -> Server | None:
        """The server, unless it never was or is deleted."""

    def relations(self, uuid: str) -> Relations:
        """What jobs, servers and tags say about this drive or server."""

    def tag(self, uuid: str) -> Tag | None:
        """The tag, unless it never was or is deleted."""

    def profile(self, account: str) -> Profile:
        """What the account has set; it guards nothing, and every account has one."""

    def act(self, kind: type[A], stream: str) -> A | None:
        """One of the ledger's own acts, if there is one of this kind under this name."""

    def peek(self, uuid: str) -> Drive | Server | None:
        """The drive or server of this uuid as it is just now, without guarding it.

        For wishes, which need not hold any more when the decision is recorded.
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
    """Fields of an account's profile, the values of which are its own business."""

    account: str
    fields: Mapping[str, str]


Secret = SetVncPassword | CopyVncPassword | DropVncPassword | SetPersonal
"""A change of a plain table, in the same transaction: secrets are kept out of the ledger."""


class Discarded(NamedTuple):
    """These streams are over and are shown no more; `rows` are all that show them."""

    streams: tuple[str, ...]
    rows: tuple[RowKey, ...]


Change = Fact | Secret | Discarded


class PoolSpace(NamedTuple):
    """A pool as placement sees it; it is `here` if this process has it mounted."""

    name: str
    storage_type: str
    free_bytes: int
    here: bool = True


class Environment(Protocol):
    """What a decision needs and cannot compute: ids, randomness and the pools of the moment."""

    def new_id(self) -> str: ...

    def new_mac(self) -> str: ...

    def pools(self) -> tuple[PoolSpace, ...]:
        """Those that are here, and those of workers elsewhere."""

    def within_reach(self, source: str, pool: str) -> bool:
        """Whether somebody has both of these pools, and can copy from the first to the second."""

    def hosts(self) -> tuple[str, ...]:
        """The compute hosts that servers are placed on; at least one."""
