"""What the writer knows of the current state: a cache over the store, and changes staged on it.

`StateCache` is the committed state, written through. A `UnitOfWork` lies over it (or over another
one) and holds changes that are not committed yet: one for the batch, and one for each command on
top of that, so that a refused command leaves nothing behind.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import starmap
from typing import NamedTuple, Protocol, TypeVar

from eventsourcing.persistence import StoredEvent

from ledger.codec import decode, encode, name_of, names_of
from ledger.domain.aggregates import Aggregate, evolve, fold
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.relations import (
    Relation,
    Relations,
    related,
    relations_of,
    subject,
    unrelated,
)
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.context import A, Discarded, Secret
from ledger.domain.errors import AlreadyExists
from ledger.domain.events import (
    DriveCreated,
    Event,
    JobCancelled,
    JobCreated,
    JobFailed,
    JobSucceeded,
    Recorded,
    ResourceTagged,
    ResourceUntagged,
    ServerChanged,
    ServerCreated,
    ServerDeleted,
    TagCreated,
    TagDeleted,
    drive_stream,
    job_stream,
    profile_stream,
    server_stream,
    tag_stream,
)
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.image_tasks import Task, following
from ledger.store.patience import read_patiently
from ledger.store.seam import Batch, Cursor, Guard, News, Projection, Row, RowKey, Rows, Store
from ledger.store.tables import guards
from ledger.store.tables.streams import stored_of

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 50_000
"""How many streams, and how many drives' and servers' relations, are kept in cache."""


class CachedStream(NamedTuple):
    """A stream's aggregate at a version, and the rows that show it."""

    version: int
    state: Aggregate | None
    rows: Rows


NOTHING = CachedStream(0, None, {})
_BEGINNINGS = (JobCreated, DriveCreated, ServerCreated, TagCreated)
_RELATING = (
    JobCreated,
    JobSucceeded,
    JobFailed,
    JobCancelled,
    ServerCreated,
    ServerChanged,
    ServerDeleted,
    ResourceTagged,
    ResourceUntagged,
    TagDeleted,
)
"""After other events a job, server or tag says the same about others as before."""
_NAMES_OF_RELATING = names_of(_RELATING)


class CachedRelations(NamedTuple):
    """What is said about a drive or server, at a version of its guard."""

    guard: int
    relations: Relations


class Base(Protocol):
    """What a unit lies on."""

    def held(self, stream: str) -> CachedStream: ...

    def told(self, uuid: str) -> CachedRelations: ...

    def is_new(self, stream: str) -> bool:
        """Whether a stream that is said to begin need not be looked up first."""


class StateCache:
    """The committed state, read from the store where it is not remembered."""

    def __init__(self, store: Store, projection: Projection) -> None:
        self._store = store
        self._projection = projection
        self._held: OrderedDict[str, CachedStream] = OrderedDict()
        self._told: OrderedDict[str, CachedRelations] = OrderedDict()
        self._collided: set[str] = set()

    def is_new(self, stream: str) -> bool:
        """Ids are drawn, so one that is taken is next to impossible, and the store would refuse it.

        Looking each up would be a good part of a clone's cost; what has collided is looked up.
        """
        return stream not in self._held and stream not in self._collided

    def held(self, stream: str) -> CachedStream:
        held = self._held.get(stream)
        if held is None:
            held = read_patiently(self._store, partial(self._read_held, stream))
            _renew(self._held, {stream: held})
        return held

    def told(self, uuid: str) -> CachedRelations:
        """The guard is never newer than what is remembered of the drive or server.

        Else another process's decision about it, between two reads, would meet no conflict.
        """
        told = self._told.get(uuid)
        if told is None:
            told = read_patiently(self._store, partial(self._read_told, uuid))
            _renew(self._told, {uuid: told})
            self._held.pop(drive_stream(uuid), None)
            self._held.pop(server_stream(uuid), None)
        return told

    def _read_held(self, stream: str, cursor: Cursor) -> CachedStream:
        stored = stored_of(cursor, stream)
        state = fold(stream, starmap(decode, stored))
        return CachedStream(len(stored), state, self._projection.rows(state))

    def _read_told(self, uuid: str, cursor: Cursor) -> CachedRelations:
        guard = guards.version_of(cursor, uuid)
        return CachedRelations(guard, self._projection.relations(cursor, uuid))

    def remember(self, unit: "UnitOfWork") -> None:
        """Takes over what has been committed."""
        _renew(self._held, unit.streams)
        for stream in unit.discarded:
            self._held.pop(stream, None)
        _renew(self._told, unit.touched())

    def notice(self, news: Sequence[News]) -> None:
        """Drops what others have changed; about whom they said something, only reading it tells."""
        for _, stream, topic in news:
            self._held.pop(stream, None)
            self._told.pop(stream.partition("-")[2], None)
            if name_of(topic) in _NAMES_OF_RELATING:
                self._told.clear()

    def forget_all(self) -> None:
        """Reads everything anew."""
        self._held.clear()
        self._told.clear()

    def forget(self, unit: "UnitOfWork") -> None:
        """Drops what may be stale after a conflict."""
        self._collided = set(unit.new_streams)
        for stream in unit.seen_streams:
            self._held.pop(stream, None)
        for uuid in unit.mentioned():
            self._told.pop(uuid, None)


def _renew(cache: OrderedDict[K, V], news: dict[K, V]) -> None:
    for key, value in news.items():
        cache[key] = value
        cache.move_to_end(key)
    while len(cache) > REMEMBERED:
        cache.popitem(last=False)


class UnitOfWork:
    """Uncommitted changes over what lies below; a `State` for decisions."""

    __slots__ = (
        "_below",
        "_now",
        "_projection",
        "_relations",
        "claims",
        "created",
        "discarded",
        "dropped",
        "entries",
        "events",
        "guarded",
        "new_streams",
        "secrets",
        "seen_streams",
        "stored",
        "streams",
        "tasks",
    )

    def __init__(self, below: Base, projection: Projection, now: datetime | None = None) -> None:
        """`now` is the moment of the command; a batch of several has none."""
        self._below = below
        self._projection = projection
        self._now = now
        self.streams: dict[str, CachedStream] = {}
        self.seen_streams: set[str] = set()
        self.new_streams: set[str] = set()
        self.guarded: set[str] = set()
        self.created: set[str] = set()
        self.events: list[tuple[str, int, Recorded[Event]]] = []
        self.stored: list[StoredEvent] = []
        self.secrets: list[Secret] = []
        self.claims: dict[tuple[str, str], RecordedClaim] = {}
        self.entries: dict[RowKey, Row] = {}
        self.tasks: list[Task] = []
        self.discarded: list[str] = []
        self.dropped: list[RowKey] = []
        self._relations: dict[str, Relations] = {}

    def held(self, stream: str) -> CachedStream:
        held = self.streams.get(stream)
        if held is None:
            self.seen_streams.add(stream)
            held = self._below.held(stream)
        return held

    def told(self, uuid: str) -> CachedRelations:
        # Of what is created here the store knows nothing: asking it is most of a clone's cost.
        below = CachedRelations(0, Relations()) if uuid in self.created else self._below.told(uuid)
        relations = self._relations.get(uuid)
        return below if relations is None else CachedRelations(below.guard, relations)

    # What a decision may look at (`ledger.domain.context.State`)

    @property
    def now(self) -> datetime:
        assert self._now is not None
        return self._now

    def job(self, uuid: str) -> Job | None:
        state = self.held(job_stream(uuid)).state
        assert state is None or isinstance(state, Job)
        return state

    def drive(self, uuid: str) -> Drive | None:
        self._guard(uuid)
        state = self.drive_even_deleted(uuid)
        return None if state is None or state.deleted else state

    def drive_even_deleted(self, uuid: str) -> Drive | None:
        """Without resting a decision on it: for what follows from one."""
        state = self.held(drive_stream(uuid)).state
        assert state is None or isinstance(state, Drive)
        return state

    def server(self, uuid: str) -> Server | None:
        self._guard(uuid)
        state = self.held(server_stream(uuid)).state
        assert state is None or isinstance(state, Server)
        return None if state is None or state.deleted else state

    def relations(self, uuid: str) -> Relations:
        return self._guard(uuid).relations

    def _guard(self, uuid: str) -> CachedRelations:
        """From now on the decision rests on this drive or server, which is looked at afterwards."""
        self.guarded.add(uuid)
        return self.told(uuid)

    def tag(self, uuid: str) -> Tag | None:
        state = self.held(tag_stream(uuid)).state
        assert state is None or isinstance(state, Tag)
        return None if state is None or state.deleted else state

    def profile(self, account: str) -> Profile:
        state = self.held(profile_stream(account)).state
        assert state is None or isinstance(state, Profile)
        return state or Profile(account)

    def act(self, kind: type[A], stream: str) -> A | None:
        state = self.held(stream).state
        assert state is None or isinstance(state, kind)
        return state

    def peek(self, uuid: str) -> Drive | Server | None:
        for stream in (drive_stream(uuid), server_stream(uuid)):
            state = self.held(stream).state
            if isinstance(state, Drive | Server) and not state.deleted:
                return state
        return None

    # What a decision brings about

    def stage(self, stream: str, recorded: Recorded[Event]) -> None:
        """One more event of a stream, which holds from now on."""
        held = self._begun(stream) if isinstance(recorded.event, _BEGINNINGS) else self.held(stream)
        state = evolve(held.state, stream, recorded)
        if isinstance(recorded.event, _RELATING):
            self._relate(relations_of(held.state), relations_of(state))
        version = held.version + 1
        self.streams[stream] = CachedStream(version, state, {})
        self.events.append((stream, version, recorded))

    def discard(self, change: Discarded) -> None:
        """Streams that are shown no more; nothing is ever decided about them again."""
        self.discarded += change.streams
        self.dropped += change.rows

    def is_new(self, stream: str) -> bool:
        return stream not in self.streams and self._below.is_new(stream)

    def _begun(self, stream: str) -> CachedStream:
        """A new stream. Raises `AlreadyExists`."""
        kind, _, uuid = stream.partition("-")
        if not self.is_new(stream) and self.held(stream).version:
            raise AlreadyExists(f"{kind} {uuid} exists already")
        if kind in ("drive", "server"):
            self.created.add(uuid)
        self.seen_streams.add(stream)
        self.new_streams.add(stream)
        return NOTHING

    def _relate(self, before: frozenset[Relation], after: frozenset[Relation]) -> None:
        if before == after:
            return
        for relation in before - after:
            uuid = subject(relation)
            self._relations[uuid] = unrelated(self.told(uuid).relations, relation)
        for relation in after - before:
            uuid = subject(relation)
            self._relations[uuid] = related(self.told(uuid).relations, relation)

    def settle(self, above: "UnitOfWork") -> None:
        """Takes over a command's changes. What may fail comes first, so that it fails alone."""
        stored = [encode(*event) for event in above.events]
        rows = {
            stream: CachedStream(held.version, held.state, self._projection.rows(held.state))
            for stream, held in above.streams.items()
        }
        entries: dict[RowKey, Row] = {}
        for stream, version, recorded in above.events:
            state = rows[stream].state
            assert state is not None
            entries |= self._projection.entries(stream, version, recorded, state.owner)
        tasks = following(
            ((stream, recorded) for stream, _, recorded in above.events), above.drive_even_deleted
        )
        self.entries |= entries
        self.tasks += tasks
        self.streams.update(rows)
        self.seen_streams |= above.seen_streams
        self.new_streams |= above.new_streams
        self.guarded |= above.guarded
        self.created |= above.created
        self.events += above.events
        self.stored += stored
        self.secrets += above.secrets
        self.discarded += above.discarded
        self.dropped += above.dropped
        self.claims |= above.claims
        self._relations.update(above._relations)  # noqa: SLF001 - of our own kind

    def touched(self) -> dict[str, CachedRelations]:
        """Guards and relations as they are once this is committed."""
        return {uuid: self._committed(uuid) for uuid in self.mentioned()}

    def mentioned(self) -> set[str]:
        """The drives and servers that were looked at, or of which something new is said."""
        return self.guarded | self._relations.keys()

    def states(self) -> dict[str, Aggregate]:
        """The aggregates of the streams that have new events, as these leave them."""
        return {
            stream: held.state for stream, held in self.streams.items() if held.state is not None
        }

    def related(self) -> frozenset[str]:
        """The drives and servers of which something new is said."""
        return frozenset(self._relations)

    def _committed(self, uuid: str) -> CachedRelations:
        told = self.told(uuid)
        return CachedRelations(told.guard + 1, told.relations) if uuid in self.guarded else told

    def batch(self) -> Batch:
        """All that is to be written: events, guards, and the rows that differ."""
        puts: dict[RowKey, Row] = dict(self.entries)
        drops: list[RowKey] = list(self.dropped)
        for stream, held in self.streams.items():
            before = {} if stream in self.new_streams else self._below.held(stream).rows
            drops += before.keys() - held.rows.keys()
            puts |= {key: row for key, row in held.rows.items() if before.get(key) != row}
        return Batch(
            events=self.stored,
            guards=[Guard(uuid, self._below.told(uuid).guard) for uuid in sorted(self.guarded)],
            puts=puts,
            drops=drops,
            secrets=self.secrets,
            claims=list(self.claims.values()),
            tasks=self.tasks,
        )
