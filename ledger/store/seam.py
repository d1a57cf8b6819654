"""The seam between the ledger and its stores, and between the ledger and its projections.

A store keeps events, guards and plain tables. A projection turns an aggregate's state into the rows
that show it. Both write in one transaction, so a read after an acknowledged command is never stale.
Every store must pass `tests/ledger/store/conformance.py`. Only `ledger.store.writer` and the
composition root call `append` and `exclusive`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, LiteralString, NamedTuple, Protocol, TypeVar

from eventsourcing.persistence import StoredEvent

from ledger.domain import context
from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.relations import Relation, Relations
from ledger.domain.context import Secret
from ledger.domain.disk_space import DiskSpace, DiskState
from ledger.domain.events import Event, Recorded
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.image_tasks import Task
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.leases import Due, LeaseChange
from ledger.domain.producers.texts import TextChange
from ledger.domain.quotas import Kind
from ledger.store.lease import Lease

T = TypeVar("T")

NO_END = 2**62
"""A position that no event reaches."""

Scalar = context.Scalar
Row = context.Row
RowKey = context.RowKey
Rows = Mapping[RowKey, Row]
"""Whole rows, key columns included, by table and key."""


class Cursor(Protocol):
    """What a projection may do inside a transaction (DB-API 2.0)."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Sequence[Scalar] = ..., /) -> Any: ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Scalar]], /) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchmany(self, size: int, /) -> list[Any]: ...

    def fetchall(self) -> list[Any]: ...


class Projection(Protocol):
    """Read models that are written inline. Projections implement it."""

    LIVE: LiteralString
    """The query of one number, which changes once all rows were made anew."""

    def rows(self, state: Aggregate | None) -> Rows:
        """Return the rows that show this aggregate; a pure function of its state alone.

        Relations that have rows by `relation_rows` are not among them.
        """

    def relation_rows(self, relations: Iterable[Relation]) -> Rows:
        """Return the rows that are there as long as these relations hold."""

    def entries(self, stream: str, version: int, recorded: Recorded[Event], owner: str) -> Rows:
        """Return the rows that show this event to its owner; a pure function of the arguments."""

    def create(self, cursor: Cursor) -> None:
        """Create missing tables."""

    def look_again(self, cursor: Cursor) -> None:
        """Read the state of the tables again at the next write, because a write has failed."""

    def write(self, cursor: Cursor, puts: Rows, drops: Iterable[RowKey]) -> None:
        """Put and drop rows of the live generation, sorted by table and key.

        Unsorted upserts of two nodes deadlock in PostgreSQL.
        """

    def relations(self, cursor: Cursor, uuid: str) -> Relations:
        """Return the relations of this drive or server according to the live rows."""

    def parents(self, cursor: Cursor, jobs: Sequence[str]) -> set[str]:
        """Return the jobs that have one of these right below them, according to the live rows."""

    def count(self, cursor: Cursor, *, owner: str, kind: Kind) -> int:
        """Return how many things of the kind the owner has; `EVERYBODY` has all accounts'."""


class Guard(NamedTuple):
    """A drive or server that a decision rests on, as it was at `version` of its guard."""

    uuid: str
    version: int


class Stamps(NamedTuple):
    """The oldest and the newest stamp of a batch of events."""

    oldest: datetime
    newest: datetime


class Batch(NamedTuple):
    """Everything that one transaction writes; `tasks` are for workers that the store feeds.

    `unspent` are jobs that must not have been discarded, or nothing is written; `spent` are those
    that are discarded now, with their owners. `external_ids` are taken by new jobs; if one is
    taken, nothing is written. `leases` change if all of `dues` still hold, or nothing is written;
    `now` is the time for a store that has no clock of its own.
    """

    events: Sequence[StoredEvent]
    guards: Sequence[Guard]
    puts: Rows
    drops: Sequence[RowKey]
    secrets: Sequence[Secret]
    claims: Sequence[RecordedClaim] = ()
    tasks: Sequence[Task] = ()
    stamps: Stamps | None = None
    unspent: Sequence[str] = ()
    spent: Mapping[str, str | None] = MappingProxyType({})
    texts: Sequence[TextChange] = ()
    leases: Sequence[LeaseChange] = ()
    dues: Sequence[Due] = ()
    now: datetime | None = None
    external_ids: Mapping[ExternalId, str] = MappingProxyType({})


class News(NamedTuple):
    """An event that another process has recorded; its topic names its kind."""

    position: int
    stream: str
    topic: str


class Answer(NamedTuple):
    """What the store answers before a batch: the newest stamp there is, and what others recorded.

    `news` are in order; None if they are too many, or the read models were rebuilt.
    """

    newest: datetime
    news: Sequence[News] | None


class Commit(NamedTuple):
    """The effects of one transaction, or of several in a row.

    `position` is that of the last event. `events` are (stream, event) in order; `states` are the
    aggregates of their streams as they are now; even a deleted one names its owner.
    `related` are the drives and servers whose relations have changed, and `tasks` the work on
    images that follows, for workers that the store does not feed.
    """

    position: int
    events: Sequence[tuple[str, Recorded[Event]]]
    states: Mapping[str, Aggregate]
    related: frozenset[str]
    tasks: Sequence[Task] = ()


Listener = Callable[[Commit], None]
"""Called with each commit, in order; must not block."""

Anew = Literal["rows change", "rows have changed"]
"""All rows are about to be made anew, or were, or stay after all."""

FirstListener = Callable[[Commit | Anew], None]
"""Called with each commit before anybody is told of it, and around others; must not fail."""


class CommitFeed(Protocol):
    """Passes commits to listeners as they are made."""

    def listen(self, listener: Listener, wanted: Callable[[], bool]) -> None:
        """Call `listener` with each commit from now on, at least while `wanted` returns true."""

    @property
    def position(self) -> int:
        """The position of the newest known event; updated before any listener is called."""


class SharedCommitFeed(CommitFeed, Protocol):
    """A feed of the commits of all processes."""

    def close(self) -> None: ...


class LoggedEvent(NamedTuple):
    """An event as the store keeps it; `position` grows over the whole ledger, with gaps."""

    position: int
    leaf_index: int
    stream: str
    version: int
    topic: str
    state: bytes
    leaf: bytes


class Conflict(Exception):
    """Another process wrote a stream, guard or claim first; the batch was not written."""


class StampsRefused(Exception):
    """The stamps are too far from the store's time; the batch was not written."""


class Log(Protocol):
    """The ledger as it was at one moment, for as long as it is held open."""

    def last_position(self) -> int:
        """Return the position of the newest event; 0 before the first."""

    def events(self, after: int = 0) -> Iterator[LoggedEvent]:
        """Yield every event with a higher position, in order."""

    def by_stream(self, after: str = "", until: int = NO_END) -> Iterator[tuple[str, str, bytes]]:
        """Yield every event as (stream, topic, state), stream by stream, each in order.

        Only of streams whose names come after this one, and up to this position.
        """

    def count(self) -> int:
        """Return how many events there are."""

    def leaf_count(self) -> int:
        """Return how many events there have ever been: the next one's leaf index."""

    def streams_after(self, after: int) -> list[str]:
        """Return the streams that have an event with a higher position."""

    def streams_of(self, kind: str) -> list[str]:
        """Return the streams whose names begin with `kind-`, sorted by name."""

    def stream(self, stream: str) -> list[tuple[int, str, bytes]]:
        """Return the events of one stream as (position, topic, state), in order."""

    def cursor(self) -> Cursor:
        """Return a cursor that reads other tables as of the same moment."""


class Others(Protocol):
    """The other processes that may use the ledger."""

    def news(self) -> Answer:
        """Ask for the time, and for what others have appended since the last call.

        In the writer's thread only.
        """

    def ask(self) -> datetime:
        """Ask for the time, in any thread; return the newest stamp. Raise `StoreFailed`."""

    def clock(self) -> datetime:
        """Return what the store's clock shows, as it was last asked and by the time since."""

    def offset(self, own: Callable[[], datetime]) -> timedelta:
        """Return by how much at least this clock is ahead of the store's."""

    def clock_parameter(self) -> int | None:
        """Return what counts in a statement instead of the store's own clock, in tests."""

    def paused(self) -> AbstractContextManager[None]:
        """Keep other processes from appending meanwhile. In the writer's thread only."""

    def lease(self, name: str) -> Lease:
        """Return the lease on work that one process does at a time."""

    def commit_tail(self) -> SharedCommitFeed:
        """Return a feed that begins after the events that the store was opened with."""

    @property
    def away(self) -> bool:
        """Whether their server has been away for longer than a request waits. In any thread."""

    def stop_waiting(self) -> None:
        """Wait no longer for a server that is away: the process stops. In any thread."""


class Disk(Protocol):
    """The disk that a ledger is on."""

    def look(self) -> DiskState:
        """Look how much room there is. In the writer's thread only."""

    def space(self) -> DiskSpace:
        """Return how full it was at the last look, and what is free now. In any thread."""

    def give_up(self) -> bool:
        """Make room, if some was kept back; return whether that was so. In the writer's thread."""


class Store(Protocol):
    """Where events are kept. Any failure of the store itself is `StoreFailed`, and final.

    It is not final as `StoreUnreachable`.
    """

    @property
    def others(self) -> Others | None:
        """None if no other process can use the ledger."""

    @property
    def disk(self) -> Disk | None:
        """None if only a database server sees it; the server reports when it is full."""

    def append(self, batch: Batch) -> int:
        """Write the batch in one durable transaction and return the last position.

        Raises `Conflict`, `StampsRefused`, `StoreFull` if it does not fit, `StoreUnreachable` if it
        was not written for another reason that may pass, and `StoreFailed` on any error of input or
        output:
        `CommitFailed` if the batch may be there all the same.
        """

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        """Run `work` in a writing transaction, while no other exclusive work runs.

        In the writer's thread only. Raises what `work` raises, `StoreFailed` as `append` does, and
        `PauseLost` if it was committed but others did not pause as they should.
        """

    def read(self, work: Callable[[Cursor], T]) -> T:
        """Return what `work` finds as of the last commit, by a few short reads; in any thread.

        Raises `StoreUnreachable` if it may be tried again.
        """

    def log(self) -> AbstractContextManager[Log]:
        """Open a snapshot to read from, in any thread."""

    def close(self) -> None: ...
