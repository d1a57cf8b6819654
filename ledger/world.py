"""What a decision may look at, and what it may bring about.

A decision is a generator: it looks at the world, refuses by raising a `Refusal`, and yields
changes. Each change holds in the world by the time the generator goes on, so a decision that yields
a child's end sees the parent as it is after it. If it refuses half way, nothing of it remains. That
what it makes is new it need not check: an id that is taken is refused as `AlreadyExists`.
"""

from typing import NamedTuple, Protocol

from msgspec import Struct

from ledger.drive import Drive
from ledger.events import Event
from ledger.job import Job
from ledger.relations import Relations
from ledger.server import Server


class World(Protocol):
    """The current state of things, as of the last change.

    Looking at a drive or a server guards it: if another process changes it, or decides on it, at
    the same moment, one of the two is decided anew.
    """

    def job(self, uuid: str) -> Job | None: ...

    def drive(self, uuid: str) -> Drive | None:
        """The drive, unless it never was or is deleted."""

    def server(self, uuid: str) -> Server | None:
        """The server, unless it never was or is deleted."""

    def relations(self, uuid: str) -> Relations:
        """What jobs and servers say about this drive or server."""


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


Secret = SetVncPassword | CopyVncPassword | DropVncPassword
"""A change of a plain table, in the same transaction: secrets are kept out of the ledger."""

Change = Fact | Secret


class PoolSpace(NamedTuple):
    """A pool as placement sees it."""

    name: str
    storage_type: str
    free_bytes: int


class Circumstances(Protocol):
    """What a decision needs and cannot compute: ids, randomness and the pools of the moment."""

    def new_id(self) -> str: ...

    def new_mac(self) -> str: ...

    def pools(self) -> tuple[PoolSpace, ...]: ...
