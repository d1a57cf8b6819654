"""The current state as the writer sees it: a cache of what is committed, over the store."""

from collections.abc import Collection, Sequence
from functools import partial
from itertools import starmap

from ledger.codec import decode, name_of, names_of
from ledger.domain.aggregates import fold
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.tag import Tag
from ledger.domain.events.drives import drive_stream
from ledger.domain.events.keypairs import keypair_stream
from ledger.domain.events.servers import server_stream
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.leases import Lease
from ledger.domain.quotas import Holding
from ledger.store.bounded_cache import BoundedCache
from ledger.store.holding_counts import HoldingCounts
from ledger.store.patience import read_patiently
from ledger.store.seam import (
    Cursor,
    News,
    Projection,
    Store,
)
from ledger.store.tables import external_ids, guards, leases, spent_ids
from ledger.store.tables.streams import last_version, stored_since
from ledger.store.unit_of_work import (
    NO_STREAM,
    RELATING,
    CachedRelations,
    CachedStream,
    UnitOfWork,
)

CACHED_MAX = 50_000
"""How many streams the cache keeps, and for how many drives and servers their relations."""
CACHED_BYTES = 32 * 1024**2
"""How many bytes of the streams may be cached beyond what each has, and as many of the relations.

A drive's `meta` may have 64 KiB; a tag may be on thousands of things.
"""
LABEL_BYTES = 500
"""What a label of a job takes in memory, with its row."""
SHORT_TEXT = 1_000
"""Shorter texts do not count: their number is bounded."""
NAMED_BYTES = 150
"""About how many bytes of memory it takes to name a drive, server or tag."""
FEW_NAMED = 10
"""Fewer do not count."""

_TEXTS = str, bytes
_NAMES_OF_RELATING = names_of(RELATING)


class StateCache:
    """The committed state, read from the store where it is not cached."""

    def __init__(self, store: Store, projection: Projection) -> None:
        self._store = store
        self._projection = projection
        self._streams = BoundedCache[CachedStream](CACHED_MAX, CACHED_BYTES, _stream_bytes)
        self._outdated = BoundedCache[CachedStream](CACHED_MAX, CACHED_BYTES, _stream_bytes)
        """Streams of jobs as they were before others may have continued them."""
        self._relations = BoundedCache[CachedRelations](CACHED_MAX, CACHED_BYTES, _relations_bytes)
        self._collided: set[str] = set()
        self._counts = HoldingCounts(store, projection)

    def is_new(self, stream: str) -> bool:
        """Say so of every unknown stream, except those that have collided before.

        Ids are random, so a collision is next to impossible, and the store would refuse it. Looking
        up each new id would be a good part of a clone's cost.
        """
        return stream not in self._streams and stream not in self._collided

    def exceeds(self, holding: Holding, limit: int, more: int = 0) -> bool:
        return self._counts.exceeds(holding, limit, more)

    def guard_now(self, name: str) -> int:
        """Return the version as it is in the store: a cached one may be older than the caller's."""
        self._relations.drop(name)
        return self.cached_relations(name).guard

    def has_spent(self, job: str) -> bool:
        return read_patiently(self._store, partial(spent_ids.is_spent, job=job))

    def spent_owner(self, job: str) -> str | None:
        return read_patiently(self._store, partial(spent_ids.owner_of, job=job))

    def lease(self, job: str) -> Lease | None:
        return read_patiently(self._store, partial(leases.find, job=job))

    def alive(self, root: str) -> Sequence[str]:
        return read_patiently(self._store, partial(leases.alive, root=root))

    def parents(self, jobs: Collection[str]) -> set[str]:
        return read_patiently(self._store, lambda cursor: self._projection.parents(cursor, [*jobs]))

    def changes_lease(self, job: str) -> bool:
        return False

    def registered_as(self, external: ExternalId) -> str | None:
        return read_patiently(self._store, partial(external_ids.job_of, wanted=external))

    def cached_stream(self, stream: str) -> CachedStream:
        cached = self._streams.get(stream)
        if cached is None:
            known = self._outdated.get(stream) or NO_STREAM
            cached = read_patiently(self._store, partial(self._read_stream, stream, known=known))
            self._streams.put({stream: cached})
            self._outdated.drop(stream)
        return cached

    def cached_relations(self, uuid: str) -> CachedRelations:
        """Return relations whose guard is never newer than the cached drive or server.

        Otherwise a decision of another process about it, between two reads, would not conflict.
        """
        relations = self._relations.get(uuid)
        if relations is None:
            relations = read_patiently(self._store, partial(self._read_relations, uuid))
            self._relations.put({uuid: relations})
            self._outdate(drive_stream(uuid))
            self._outdate(server_stream(uuid))
            self._outdate(keypair_stream(uuid))
        return relations

    def _read_stream(
        self, stream: str, cursor: Cursor, known: CachedStream = NO_STREAM
    ) -> CachedStream:
        """Return the stream as it is now; read only what came after what is known of it.

        A job above thousands has as many events, and each of two nodes goes on after the other.
        """
        version = 0 if known.state is None else known.version
        stored = stored_since(cursor, stream, version)
        if stored is None:  # of a tail, nothing else is there
            return CachedStream(last_version(cursor, stream), None, self._projection.rows(None))
        if not stored:
            return known
        state = fold(stream, starmap(decode, stored), known.state)
        return CachedStream(version + len(stored), state, self._projection.rows(state))

    def _outdate(self, stream: str) -> None:
        """Read the stream again before it is looked at; of a job, what came after its events.

        Any other may have been compacted since, and another begun by its name.
        """
        cached = self._streams.get(stream)
        self._streams.drop(stream)
        if cached is not None and isinstance(cached.state, Job):
            self._outdated.put({stream: cached})

    def _read_relations(self, uuid: str, cursor: Cursor) -> CachedRelations:
        guard = guards.version_of(cursor, uuid)
        return CachedRelations(guard, self._projection.relations(cursor, uuid))

    def remember(self, unit: UnitOfWork) -> None:
        """Take over what has been committed."""
        self._streams.put(unit.streams)
        for stream in unit.discarded:
            self._streams.drop(stream)
        self._relations.put(unit.committed_relations())
        self._counts.add(unit.held)

    def drop_changed(self, news: Sequence[News]) -> None:
        """Drop what other processes have changed.

        Which drives and servers an event is about only its body says, so all relations go.
        """
        for _, stream, topic in news:
            self._outdate(stream)
            self._relations.drop(stream.partition("-")[2])
            self._relations.drop(stream)  # the guard of its tree, if it is a root
            if name_of(topic) in _NAMES_OF_RELATING:
                self._relations.clear()
        self._counts.note_others(topic for _, _, topic in news)

    def clear(self) -> None:
        """Forget everything, so that it is read again."""
        self._streams.clear()
        self._outdated.clear()
        self._relations.clear()
        self._counts.clear()

    def drop_stale(self, unit: UnitOfWork) -> None:
        """Drop what may be stale after a conflict."""
        self._collided = set(unit.new_streams)
        for stream in unit.seen_streams:
            self._outdate(stream)
        for uuid in unit.concerned():
            self._relations.drop(uuid)


def _stream_bytes(cached: CachedStream) -> int:
    """Return how long its texts are, or the list of what bears a tag; of a job, its labels."""
    if isinstance(cached.state, Job):
        return LABEL_BYTES * len(cached.state.labels)
    if isinstance(cached.state, Tag):
        return _text_bytes(cached) + _named_bytes(len(cached.state.resources))
    return _text_bytes(cached)


def _text_bytes(cached: CachedStream) -> int:
    return sum(
        len(value)
        for row in cached.rows.values()
        for value in row
        if isinstance(value, _TEXTS) and len(value) > SHORT_TEXT
    )


def _relations_bytes(cached: CachedRelations) -> int:
    of = cached.relations
    return _named_bytes(len(of.servers) + len(of.tags) + len(of.addresses))


def _named_bytes(named: int) -> int:
    return NAMED_BYTES * named if named >= FEW_NAMED else 0
