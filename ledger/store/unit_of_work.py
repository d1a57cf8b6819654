"""Uncommitted changes, staged on the current state.

A `UnitOfWork` rests on the `StateCache`, or on another unit: one unit holds the changes of a batch
and, on top of it, one those of each command, so that a refused command leaves nothing behind.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from eventsourcing.persistence import StoredEvent

from ledger.codec import encode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.relations import (
    Relation,
    Relations,
    change_relations,
    changed_by,
    subject_of,
)
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.aggregates.token import Token
from ledger.domain.context import A, Discarded, ImageData, Secret
from ledger.domain.disk_space import DiskState
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.jobs import JobDiscarded
from ledger.domain.errors.pools import NotMeasured
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveCreated, drive_stream
from ledger.domain.events.jobs import JobCancelled, JobCreated, JobFailed, JobSucceeded, job_stream
from ledger.domain.events.keypairs import KeypairCreated, keypair_stream
from ledger.domain.events.producers import JobRegistered
from ledger.domain.events.profiles import profile_stream
from ledger.domain.events.servers import (
    ServerChanged,
    ServerCreated,
    ServerDeleted,
    ServerPowerChanged,
    server_stream,
)
from ledger.domain.events.tags import (
    ResourceTagged,
    ResourceUntagged,
    TagCreated,
    TagDeleted,
    tag_stream,
)
from ledger.domain.events.tokens import token_stream
from ledger.domain.idempotency import RecordedClaim
from ledger.domain.image_tasks import Task, tasks_after
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.leases import (
    ALIVE,
    Due,
    Expect,
    Lease,
    LeaseChange,
    change_after,
)
from ledger.domain.producers.texts import DropTexts, TextChange, Words, kept
from ledger.domain.quotas import Holding, discarded_by, holdings_of
from ledger.store.holding_counts import COUNTING
from ledger.store.seam import (
    Batch,
    Guard,
    Projection,
    Row,
    RowKey,
    Rows,
    Stamps,
)

S = TypeVar("S", bound=Aggregate)


class CachedStream(NamedTuple):
    """A stream's aggregate at a version, and the rows that show it, without its relations."""

    version: int
    state: Aggregate | None
    rows: Rows


NO_STREAM = CachedStream(0, None, {})
NOTHING_MEASURED: ImageData = MappingProxyType({})
_FIRST_EVENTS: frozenset[type[Event]] = frozenset(
    {JobCreated, DriveCreated, ServerCreated, TagCreated, KeypairCreated}
)
RELATING: frozenset[type[Event]] = frozenset(
    {
        JobCreated,
        JobSucceeded,
        JobFailed,
        JobCancelled,
        ServerCreated,
        ServerChanged,
        ServerDeleted,
        ServerPowerChanged,
        ResourceTagged,
        ResourceUntagged,
        TagDeleted,
    }
)
"""The only events after which a job, server or tag may name other things than before, or a server
use other addresses."""


def tree_guard(root: str) -> str:
    """Return the name of a tree's guard. No drive has it, whatever uuid a client chose."""
    return job_stream(root)


class CachedRelations(NamedTuple):
    """The relations of a drive or server, at a version of its guard."""

    guard: int
    relations: Relations


NO_RELATIONS = CachedRelations(0, Relations())


class Base(Protocol):
    """What a unit of work rests on."""

    def cached_stream(self, stream: str) -> CachedStream: ...

    def cached_relations(self, uuid: str) -> CachedRelations: ...

    def is_new(self, stream: str) -> bool:
        """Whether a new stream can begin without being looked up first."""

    def guard_now(self, name: str) -> int:
        """Return the version of a guard, including what is staged; read it anew."""

    def has_spent(self, job: str) -> bool:
        """Return whether the job was discarded."""

    def spent_owner(self, job: str) -> str | None:
        """Return whose the discarded job was, as far as that is known."""

    def lease(self, job: str) -> Lease | None:
        """Return the row of a producer's job; read it anew."""

    def changes_lease(self, job: str) -> bool:
        """Whether what is staged changes this row."""

    def alive(self, root: str) -> Sequence[str]:
        """Return the jobs of this tree on which somebody works; read them anew."""

    def parents(self, jobs: Collection[str]) -> set[str]:
        """Return the jobs that have one of these right below them."""

    def registered_as(self, external: ExternalId) -> str | None:
        """Return the job that has this external id."""

    def exceeds(self, holding: Holding, limit: int, more: int = 0) -> bool:
        """See `ledger.domain.quotas.Counts`."""


class UnitOfWork:
    """Uncommitted changes over a base; a `State` for decisions."""

    def __init__(
        self,
        base: Base,
        projection: Projection,
        now: datetime | None = None,
        disk: DiskState = DiskState.ROOMY,
        images: ImageData = NOTHING_MEASURED,
    ) -> None:
        """`now` is the moment of the command, and `images` what was measured for it.

        A batch of several commands has neither.
        """
        self._base = base
        self._projection = projection
        self._now = now
        self._disk = disk
        self._images = images
        self.streams: dict[str, CachedStream] = {}
        self.seen_streams: set[str] = set()
        self.new_streams: set[str] = set()
        self.guarded: set[str] = set()
        self.created: set[str] = set()
        self.events: list[tuple[str, int, Recorded[Event]]] = []
        self.stored: list[StoredEvent] = []
        self.stored_bytes = 0
        self.secrets: list[Secret] = []
        self.texts: list[TextChange] = []
        self.claims: dict[tuple[str, str], RecordedClaim] = {}
        self.entries: dict[RowKey, Row] = {}
        self.tasks: list[Task] = []
        self.discarded: set[str] = set()
        self.owners: dict[str, str] = {}
        """Whose the jobs are that are discarded."""
        self.unspent: set[str] = set()
        self.external_ids: dict[ExternalId, str] = {}
        self.dropped: list[RowKey] = []
        self.leases: dict[str, LeaseChange] = {}
        """The last change of each lease, which is all that counts."""
        self.dues: list[Due] = []
        self.held: dict[Holding, int] = {}
        """By how much the number of each holding changes."""
        self._relations: dict[str, Relations] = {}
        self._relation_rows: dict[RowKey, Row | None] = {}
        """The rows of relations that have begun; None of those that have ended."""

    def cached_stream(self, stream: str) -> CachedStream:
        cached = self.streams.get(stream)
        if cached is None:
            self.seen_streams.add(stream)
            cached = self._base.cached_stream(stream)
        return cached

    def cached_relations(self, uuid: str) -> CachedRelations:
        below = self._relations_below(uuid)
        changed = self._relations.get(uuid)
        return below if changed is None else CachedRelations(below.guard, changed)

    def _relations_below(self, uuid: str) -> CachedRelations:
        """Return the relations without what is staged here.

        The store knows nothing of what is created here: asking it is most of a clone's cost.
        """
        return NO_RELATIONS if uuid in self.created else self._base.cached_relations(uuid)

    # What a decision may look at (`ledger.domain.context.State`)

    @property
    def now(self) -> datetime:
        assert self._now is not None
        return self._now

    @property
    def disk(self) -> DiskState:
        return self._disk

    def data_bytes(self, drives: Iterable[Drive]) -> ImageData:
        unknown = [(drive.pool, drive.uuid) for drive in drives if drive.uuid not in self._images]
        if unknown:
            raise NotMeasured(tuple(unknown))
        return self._images

    def job(self, uuid: str) -> Job | None:
        return self._state(Job, job_stream(uuid))

    def drive(self, uuid: str) -> Drive | None:
        self._guard(uuid)
        state = self.drive_even_deleted(uuid)
        return None if state is None or state.deleted else state

    def drive_even_deleted(self, uuid: str) -> Drive | None:
        """Return the drive without guarding it, for what follows from a decision."""
        return self._state(Drive, drive_stream(uuid))

    def server(self, uuid: str) -> Server | None:
        self._guard(uuid)
        state = self._state(Server, server_stream(uuid))
        return None if state is None or state.deleted else state

    def relations(self, uuid: str) -> Relations:
        return self._guard(uuid).relations

    def _guard(self, uuid: str) -> CachedRelations:
        """Rest the decision on this drive or server, before it is looked at."""
        self.guarded.add(uuid)
        return self.cached_relations(uuid)

    def tag(self, uuid: str) -> Tag | None:
        state = self._state(Tag, tag_stream(uuid))
        return None if state is None or state.deleted else state

    def keypair(self, uuid: str) -> Keypair | None:
        self._guard(uuid)
        state = self._state(Keypair, keypair_stream(uuid))
        return None if state is None or state.deleted else state

    def profile(self, account: str) -> Profile:
        return self._state(Profile, profile_stream(account)) or Profile(account)

    def token(self, token_id: str) -> Token | None:
        return self._state(Token, token_stream(token_id))

    def act(self, kind: type[A], stream: str) -> A | None:
        return self._state(kind, stream)

    def guard(self, root: str) -> int:
        name = tree_guard(root)
        version = self._base.guard_now(name)
        self.guarded.add(name)
        return version

    def guard_now(self, name: str) -> int:
        return self._base.guard_now(name) + (name in self.guarded)

    def is_spent(self, job: str) -> bool:
        self.unspent.add(job)
        return self.has_spent(job)

    def has_spent(self, job: str) -> bool:
        return job_stream(job) in self.discarded or self._base.has_spent(job)

    def spent_owner(self, job: str) -> str | None:
        return self.owners.get(job) or self._base.spent_owner(job)

    def lease(self, job: str) -> Lease | None:
        return self._base.lease(job)

    def is_due(self, job: str, due: int) -> bool:
        lease = self.lease(job)
        if self.changes_lease(job) or lease is None or lease.due != due:
            return False
        self.dues.append(Due(job, due))
        return True

    def alive(self, root: str) -> Sequence[str]:
        staged = [
            job
            for job, change in self.leases.items()
            if isinstance(change, Expect) and change.root == root and change.awaits in ALIVE
        ]
        return [*staged, *(job for job in self._base.alive(root) if job not in self.leases)]

    def parents(self, jobs: Collection[str]) -> set[str]:
        cached = {job: self.streams.get(job_stream(job)) for job in jobs}
        staged = {
            each.state.parent
            for each in cached.values()
            if each is not None and isinstance(each.state, Job) and each.state.parent is not None
        }
        unknown = [job for job, each in cached.items() if each is None]
        return staged | self._base.parents(unknown) if unknown else staged

    def changes_lease(self, job: str) -> bool:
        return job in self.leases or self._base.changes_lease(job)

    def registered_as(self, external: ExternalId) -> str | None:
        job = self.external_ids.get(external) or self._base.registered_as(external)
        return None if job is not None and job_stream(job) in self.discarded else job

    def peek(self, uuid: str) -> Drive | Server | None:
        for stream in (drive_stream(uuid), server_stream(uuid)):
            state = self.cached_stream(stream).state
            if isinstance(state, Drive | Server) and not state.deleted:
                return state
        return None

    def exceeds(self, holding: Holding, limit: int, more: int = 0) -> bool:
        return self._base.exceeds(holding, limit, more + self.held.get(holding, 0))

    def _state(self, kind: type[S], stream: str) -> S | None:
        state = self.cached_stream(stream).state
        assert state is None or isinstance(state, kind)
        return state

    # The changes that a decision yields

    def stage(self, stream: str, recorded: Recorded[Event]) -> None:
        """Add an event to its stream; it holds from now on."""
        kind = type(recorded.event)
        cached = self._begin_stream(stream) if kind in _FIRST_EVENTS else self.cached_stream(stream)
        state = evolve(cached.state, stream, recorded)
        if isinstance(cached.state, Job) and cached.state.ended is not None:
            self._follow_end(cached.state)
        if kind in RELATING:
            self._relate(*changed_by(recorded.event, cached.state, state))
        if kind in COUNTING:
            self._hold(holdings_of(state), 1)
            self._hold(holdings_of(cached.state), -1)
            self._hold(discarded_by(recorded.event), -1)
        if isinstance(state, Job):
            self.change_lease(change_after(recorded.event, state, recorded.recorded_at))
        if isinstance(recorded.event, JobRegistered):
            self._take_external_id(state, recorded.event)
        version = cached.version + 1
        self.streams[stream] = CachedStream(version, state, {})
        self.events.append((stream, version, recorded))

    def _take_external_id(self, job: Aggregate, event: JobRegistered) -> None:
        assert isinstance(job, Job)
        if event.external_id is not None:
            taken = ExternalId(job.owner, event.source, event.external_id)
            self.external_ids[taken] = job.uuid

    def change_lease(self, change: LeaseChange | None) -> None:
        if change is not None:
            self.leases[change.job] = change

    def _follow_end(self, job: Job) -> None:
        """Rest an event that follows the end of a job on the job not being discarded.

        A discard of its tree that has not seen the event collides with it at the guard. Raise
        `JobDiscarded`.
        """
        self._guard(tree_guard(job.root))
        if self.is_spent(job.uuid):
            raise JobDiscarded(job.uuid)

    def _hold(self, holdings: Iterable[Holding], n: int) -> None:
        for holding in holdings:
            self.held[holding] = self.held.get(holding, 0) + n

    def keep(self, words: Collection[Words]) -> None:
        """Keep these words for the events that were staged and have their digests."""
        if words:
            for event in self.events:
                self.texts += kept(*event, words)

    def discard(self, change: Discarded) -> None:
        """Stop showing these streams; nothing is ever decided about them again."""
        self.discarded.update(change.streams)
        self.owners |= change.owners
        self.dropped += change.rows
        self.texts.append(DropTexts(tuple(_jobs_of(change.streams))))

    def is_new(self, stream: str) -> bool:
        return stream not in self.streams and self._base.is_new(stream)

    def _begin_stream(self, stream: str) -> CachedStream:
        """Begin a new stream. Raise `AlreadyExists` if there is one."""
        kind, _, uuid = stream.partition("-")
        if self.is_new(stream):
            if kind in ("drive", "server", "keypair"):
                self.created.add(uuid)
        elif self.cached_stream(stream).version:
            raise AlreadyExists(kind, uuid)
        self.seen_streams.add(stream)
        self.new_streams.add(stream)
        return NO_STREAM

    def _relate(self, ended: frozenset[Relation], begun: frozenset[Relation]) -> None:
        gone, new = _by_subject(ended), _by_subject(begun)
        for uuid in {**gone, **new}:
            relations = self.cached_relations(uuid).relations
            changed = change_relations(relations, gone.get(uuid, ()), new.get(uuid, ()))
            self._relations[uuid] = changed
        self._relation_rows |= dict.fromkeys(self._projection.relation_rows(ended))
        self._relation_rows |= self._projection.relation_rows(begun)

    def settle(self, above: "UnitOfWork") -> None:
        """Take over a command's changes. What may fail comes first, so that it fails alone."""
        stored = [encode(*event) for event in above.events]
        rows = {
            stream: CachedStream(cached.version, cached.state, self._projection.rows(cached.state))
            for stream, cached in above.streams.items()
        }
        entries: dict[RowKey, Row] = {}
        for stream, version, recorded in above.events:
            state = rows[stream].state
            assert state is not None
            entries |= self._projection.entries(stream, version, recorded, state.owner)
        tasks = tasks_after(
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
        self.stored_bytes += sum(len(event.state) for event in stored)
        self.secrets += above.secrets
        self.texts += above.texts
        self.discarded |= above.discarded
        self.owners |= above.owners
        self.unspent |= above.unspent
        self.external_ids |= above.external_ids
        self.dropped += above.dropped
        self.leases |= above.leases
        self.dues += above.dues
        self.claims |= above.claims
        for holding, n in above.held.items():
            self._hold((holding,), n)
        self._relations.update(above._relations)  # noqa: SLF001 - of the same class
        self._relation_rows |= above._relation_rows  # noqa: SLF001

    def committed_relations(self) -> dict[str, CachedRelations]:
        """Return guards and relations as they are once this is committed."""
        found = {uuid: self.cached_relations(uuid) for uuid in self.concerned()}
        for uuid in self.guarded:
            guard, relations = found[uuid]
            found[uuid] = CachedRelations(guard + 1, relations)
        return found

    def concerned(self) -> set[str]:
        """Return the drives and servers that were looked at, or whose relations change."""
        return self.guarded | self._relations.keys()

    def states(self) -> dict[str, Aggregate]:
        """Return the aggregates of the streams that have new events, as these leave them."""
        return {
            stream: cached.state
            for stream, cached in self.streams.items()
            if cached.state is not None
        }

    def related(self) -> frozenset[str]:
        """Return the drives and servers whose relations change."""
        return frozenset(self._relations)

    def sizes(self) -> Mapping[str, int]:
        """Return how many bytes of events are recorded for each actor."""
        sizes: Counter[str] = Counter()
        for (_, _, recorded), stored in zip(self.events, self.stored, strict=True):
            sizes[recorded.actor] += len(stored.state)
        return sizes

    def batch(self, now: datetime | None = None) -> Batch:
        """Return all that is to be written: events, guards, and the rows that differ.

        `now` is the time, for a store without a clock of its own.
        """
        puts: dict[RowKey, Row] = dict(self.entries)
        drops: list[RowKey] = list(self.dropped)
        for stream, cached in self.streams.items():
            before = {} if stream in self.new_streams else self._base.cached_stream(stream).rows
            drops += before.keys() - cached.rows.keys()
            puts |= {key: row for key, row in cached.rows.items() if before.get(key) != row}
        for key, row in self._relation_rows.items():
            if row is None:
                drops.append(key)
            else:
                puts[key] = row
        return Batch(
            events=self.stored,
            guards=[
                Guard(uuid, self._relations_below(uuid).guard) for uuid in sorted(self.guarded)
            ],
            puts=puts,
            drops=drops,
            secrets=self.secrets,
            claims=list(self.claims.values()),
            tasks=self.tasks,
            stamps=self._stamps(),
            unspent=sorted(self.unspent),
            spent={job: self.owners.get(job) for job in sorted(_jobs_of(self.discarded))},
            texts=self.texts,
            leases=list(self.leases.values()),
            dues=self.dues,
            now=now,
            external_ids=self.external_ids,
        )

    def _stamps(self) -> Stamps | None:
        """Return the stamps of the first and last event, which are in order."""
        if not self.events:
            return None
        (_, _, first), (_, _, last) = self.events[0], self.events[-1]
        return Stamps(first.recorded_at, last.recorded_at)


def _jobs_of(streams: Iterable[str]) -> Iterator[str]:
    return (stream.removeprefix("job-") for stream in streams if stream.startswith("job-"))


def _by_subject(relations: Iterable[Relation]) -> dict[str, list[Relation]]:
    found: dict[str, list[Relation]] = {}
    for relation in relations:
        found.setdefault(subject_of(relation), []).append(relation)
    return found
