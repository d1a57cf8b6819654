"""The seam between the ledger and its stores, and between the ledger and its projections.

A store keeps events, guards and plain tables; a projection turns an aggregate's state into the rows
that show it. Both write in one transaction, so a read after an acknowledged command is never stale.
`tests/ledger/conformance.py` is what every store must pass. Only `ledger.store.writer` and the
composition root lean on `append` and `exclusive`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from eventsourcing.persistence import StoredEvent

from ledger.domain import context
from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.relations import Relations
from ledger.domain.context import Secret
from ledger.domain.events import Event, Recorded
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.image_tasks import Task
from ledger.store.lease import Lease

T = TypeVar("T")

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
    """Read models that are written inline. The ledger owns this protocol; projections fill it."""

    def rows(self, state: Aggregate | None) -> Rows:
        """The rows that show this aggregate; a pure function of its state alone."""

    def entries(self, stream: str, version: int, recorded: Recorded[Event], owner: str) -> Rows:
        """The rows that tell of this one event of somebody's; a pure function of it."""

    def create(self, cursor: Cursor) -> None:
        """Makes the tables where they are missing."""

    def look_again(self, cursor: Cursor) -> None:
        """What is remembered of the tables may be out of date: a write has failed."""

    def write(self, cursor: Cursor, puts: Rows, drops: Iterable[RowKey]) -> None:
        """Puts and drops rows of the live generation, sorted by table and key.

        Unsorted upserts of two nodes deadlock in PostgreSQL.
        """

    def relations(self, cursor: Cursor, uuid: str) -> Relations:
        """What the live rows say about this drive or server."""


class Guard(NamedTuple):
    """A decision rests on this drive or server as it was at `version` of its guard."""

    uuid: str
    version: int


class Batch(NamedTuple):
    """All that one transaction writes.

    `tasks` are what follows for workers, where they are fed by the store.
    """

    events: Sequence[StoredEvent]
    guards: Sequence[Guard]
    puts: Rows
    drops: Sequence[RowKey]
    secrets: Sequence[Secret]
    claims: Sequence[RecordedClaim] = ()
    tasks: Sequence[Task] = ()


class News(NamedTuple):
    """An event that another process has recorded; its topic says what happened."""

    position: int
    stream: str
    topic: str


class Commit(NamedTuple):
    """What one transaction brought about, or several one after the other.

    `position` is its last event's; `events` are (stream, event) in order, `states` the aggregates
    of their streams as they are now: one that was deleted still tells whose it was. `related` are
    the drives and servers about which a job, a server or a tag now says something else; `tasks`
    what is to be done to images now, by whoever is not fed by the store.
    """

    position: int
    events: Sequence[tuple[str, Recorded[Event]]]
    states: Mapping[str, Aggregate]
    related: frozenset[str]
    tasks: Sequence[Task] = ()


Listener = Callable[[Commit], None]
"""Told of each commit, in order; must not block."""


class CommitFeed(Protocol):
    """Tells of commits as they are made."""

    def listen(self, listener: Listener, wanted: Callable[[], bool]) -> None:
        """Tells `listener` of each commit from now on, at least while `wanted` says so."""

    @property
    def position(self) -> int:
        """The position of the newest event that it knows of; raised before anybody is told."""


class SharedCommitFeed(CommitFeed, Protocol):
    """One that tells of the commits of all processes."""

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
    """Another process was first with a stream, guard or claim; nothing of the batch is kept."""


class Log(Protocol):
    """The ledger as it was at one moment, for as long as it is held open."""

    def last_position(self) -> int:
        """The position of the newest event; 0 before the first."""

    def events(self, after: int = 0) -> Iterator[LoggedEvent]:
        """Every event with a higher position, in order."""

    def by_stream(self) -> Iterator[tuple[str, str, bytes]]:
        """Every event as (stream, topic, state), one stream after the other, each in order."""

    def count(self) -> int:
        """How many events there are."""

    def leaf_count(self) -> int:
        """How many events there have ever been; the next one's leaf index."""

    def streams_after(self, after: int) -> list[str]:
        """The streams that have an event with a higher position."""

    def streams_of(self, kind: str) -> list[str]:
        """The streams whose names begin with `kind-`, in the order of their names."""

    def stream(self, stream: str) -> list[tuple[int, str, bytes]]:
        """The events of one stream as (position, topic, state), in order."""

    def cursor(self) -> Cursor:
        """For reading other tables as of the same moment."""


class Others(Protocol):
    """The other processes that may have the ledger, too."""

    def news(self) -> Sequence[News] | None:
        """What others have appended since this was last asked; None if it is too much to say.

        In the writer's thread only.
        """

    def paused(self) -> AbstractContextManager[None]:
        """Meanwhile no other process appends anything. In the writer's thread only."""

    def lease(self, name: str) -> Lease:
        """The lease on what is done by one process at a time."""

    def commit_tail(self) -> SharedCommitFeed:
        """Begins behind what there was when the store was opened."""


class Store(Protocol):
    """Where events are kept. Any failure of the store itself is `StoreFailed`, and final."""

    @property
    def others(self) -> Others | None:
        """None where no other process can have the ledger."""

    def append(self, batch: Batch) -> int:
        """Writes the batch in one durable transaction and returns the last position.

        Raises `Conflict`, and `StoreFailed` on any error of input or output.
        """

    def exclusive(self, work: Callable[[Cursor], T]) -> T:
        """Runs `work` in one writing transaction, beside which no other exclusive work runs.

        Called in the writer's thread only.
        """

    def read(self, work: Callable[[Cursor], T]) -> T:
        """What `work` finds as of the last commit, by a few short reads; in any thread.

        Raises `StoreUnreachable` if it may be tried again.
        """

    def log(self) -> AbstractContextManager[Log]:
        """A snapshot to read from, in any thread."""

    def close(self) -> None: ...
