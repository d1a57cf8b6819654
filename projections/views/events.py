"""The events of an account, for readers that follow them from place to place.

A reader must see every event that is there, or be told that some are not. Its place says all that
takes: which epoch it has read in, up to which position, and which archives it knows of
(`tests/models/README.md`, "The feed").
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from threading import Lock
from typing import Literal, NamedTuple

from ledger.codec import decode, name_of, topics_of
from ledger.domain.events.housekeeping import ArchiveWritten, LedgerRestored
from ledger.domain.events.jobs import JobCreated
from ledger.domain.events.producers import JobRegistered
from ledger.store.bounded_cache import BoundedCache
from ledger.store.compaction import events_at
from ledger.store.parameters import among
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.tables.streams import newest

FIRST_EPOCH = 0
_BEGINNINGS = topics_of((JobCreated, JobRegistered))
READ_MOST = 5_000
"""Events of all accounts that are looked at for one answer."""
REMEMBERED = 10_000
ABOUT_BYTES = 500


class Place(NamedTuple):
    """Where a reader is: it has read up to `position`, and knows of archives recorded so far."""

    epoch: int
    position: int
    knows: int


class Restore(NamedTuple):
    """A restore began this epoch; it held the events up to `at`."""

    epoch: int
    at: int


class ArchivedSpan(NamedTuple):
    """An archive was recorded at a position, and has events up to `last`."""

    at: int
    last: int


class Acts(NamedTuple):
    """What has happened to the ledger that readers must know, in order; its newest position."""

    restores: tuple[Restore, ...]
    archives: tuple[ArchivedSpan, ...]
    newest: int

    @property
    def epoch(self) -> int:
        return self.restores[-1].epoch if self.restores else FIRST_EPOCH

    @property
    def end(self) -> Place:
        return Place(self.epoch, self.newest, self.newest)


def after_restore(place: Place, acts: Acts) -> Place | None:
    """Return where a reader goes on after restores that it does not know of; None without any.

    That is what all epochs since its own share. A position that no event has reached yet is of an
    epoch of which nothing is recorded.
    """
    if place.epoch == acts.epoch and place.position <= acts.newest:
        return None
    shared = _shared(place.epoch, acts.restores)
    return Place(acts.epoch, min(place.position, shared), min(place.knows, shared))


def _shared(epoch: int, restores: Sequence[Restore]) -> int:
    """Return up to where the ledger has what the epoch had; 0 of one that it does not know."""
    epochs = [FIRST_EPOCH, *(restore.epoch for restore in restores)]
    if epoch not in epochs:
        return 0
    return min((restore.at for restore in restores[epochs.index(epoch) :]), default=0)


def after_archives(place: Place, acts: Acts) -> Place | None:
    """Return where a reader goes on that does not know which events are only in archives."""
    new = [archive for archive in acts.archives if archive.at > place.knows]
    if not any(archive.last > place.position for archive in new):
        return None
    return place._replace(knows=acts.archives[-1].at)


def acts_of(cursor: Cursor) -> Acts:
    """Read what has happened to the ledger.

    An epoch is named by the stream of its restore: a number that was counted is given out again if
    a restore is itself undone.
    """
    restores, archives = [], []
    for position, stream, topic, state in _stored(cursor, "restoration"):
        if isinstance(decode(topic, state).event, LedgerRestored):
            restores.append(Restore(_epoch_of(stream), position - 1))
    for position, _, topic, state in _stored(cursor, "compaction"):
        event = decode(topic, state).event
        if isinstance(event, ArchiveWritten):
            archives.append(ArchivedSpan(position, event.last))
    return Acts(tuple(restores), tuple(archives), newest(cursor))


def _stored(cursor: Cursor, kind: str) -> list[tuple[int, str, str, bytes]]:
    cursor.execute(
        "SELECT position, originator_id, topic, state FROM stored_events"
        " WHERE originator_id > ? AND originator_id < ? ORDER BY position",
        (f"{kind}-", f"{kind}."),  # a full stop comes right after a hyphen
    )
    return cursor.fetchall()


def _epoch_of(stream: str) -> int:
    """Return the number that names the epoch of a restore; never that of the first."""
    return 1 + int.from_bytes(sha256(stream.encode()).digest()[:6])


class About(NamedTuple):
    """What is fixed about a job when it is created, as far as readers filter by it."""

    owner: str
    root: str
    source: str | None
    series: str | None


class Wanted(NamedTuple):
    """The events that a reader wants: of an account, and of these kinds; None for any."""

    owner: str
    types: frozenset[str] | None = None
    root: str | None = None
    source: str | None = None
    series: str | None = None

    def fits(self, about: About) -> bool:
        return (
            about.owner == self.owner
            and self.root in (None, about.root)
            and self.source in (None, about.source)
            and self.series in (None, about.series)
        )


class Read(NamedTuple):
    """Events of jobs, each with its job's root, and where the reader is after them.

    `more`: there may be others right behind.
    """

    events: tuple[tuple[LoggedEvent, str], ...]
    next: Place
    more: bool


class Moved(NamedTuple):
    """The reader cannot have seen all: what happened, and where it goes on."""

    why: Literal["restored", "archived"]
    next: Place


class EventReader:
    """Reads events, in any thread. What it finds about jobs never changes, so it remembers it."""

    def __init__(self) -> None:
        self._known = BoundedCache[About](REMEMBERED, REMEMBERED * ABOUT_BYTES, _bytes_of)
        self._lock = Lock()

    def follow(
        self, cursor: Cursor, place: Place | None, wanted: Wanted, most: int
    ) -> Read | Moved:
        """Return the next events after a place, at most so many, or why that is not possible.

        Without a place, from the oldest that is here.
        """
        acts = acts_of(cursor)
        if place is None:
            place = Place(acts.epoch, 0, acts.newest)
        restored, archived = after_restore(place, acts), after_archives(place, acts)
        if restored is not None:
            return Moved("restored", restored)
        if archived is not None:
            return Moved("archived", archived)
        return self._read(cursor, place._replace(knows=acts.newest), wanted, most)

    def _read(self, cursor: Cursor, place: Place, wanted: Wanted, most: int) -> Read:
        """Return the next events after a place.

        Those of jobs that were discarded are among them, until their archive is recorded.
        """
        cursor.execute(
            "SELECT position, originator_id, topic FROM stored_events WHERE position > ?"
            " ORDER BY position LIMIT ?",
            (place.position, READ_MOST),
        )
        found = cursor.fetchall()
        about = self._all_about(cursor, {stream for _, stream, _ in found})
        fitting = [
            (position, stream)
            for position, stream, topic in found
            if stream in about
            and wanted.fits(about[stream])
            and (wanted.types is None or name_of(topic) in wanted.types)
        ]
        is_whole = len(fitting) <= most
        shown = fitting[:most]
        looked_at = found if is_whole else shown
        reached = looked_at[-1][0] if looked_at else place.position
        roots = {position: about[stream].root for position, stream in shown}
        events = tuple((event, roots[event.position]) for event in events_at(cursor, list(roots)))
        more = not is_whole or len(found) == READ_MOST
        return Read(events, place._replace(position=reached), more)

    def _all_about(self, cursor: Cursor, streams: Iterable[str]) -> dict[str, About]:
        """Return what is known about the jobs among these streams; nothing of a mere tail."""
        jobs = [stream for stream in streams if stream.startswith("job-")]
        with self._lock:
            known = {stream: self._known.get(stream) for stream in jobs}
        found = {stream: about for stream, about in known.items() if about is not None}
        learnt = dict(_read_about(cursor, sorted(known.keys() - found.keys())))
        with self._lock:
            self._known.put(learnt)
        return found | learnt


def _read_about(cursor: Cursor, streams: Sequence[str]) -> Iterator[tuple[str, About]]:
    """Yield what is said about jobs by the first event of each, and by its registration."""
    created: tuple[str, JobCreated] | None = None
    rows = among(
        cursor,
        "SELECT originator_id, topic, state FROM stored_events WHERE originator_id IN (...)"
        " AND originator_version <= 2 ORDER BY originator_id, originator_version",
        streams,
    )
    for stream, topic, state in rows:
        if topic not in _BEGINNINGS:
            continue
        event = decode(topic, state).event
        if isinstance(event, JobCreated):
            created = stream, event
            yield stream, About(event.owner, event.root, None, None)
        elif isinstance(event, JobRegistered) and created is not None and created[0] == stream:
            first = created[1]
            yield stream, About(first.owner, first.root, event.source, event.series)


def _bytes_of(about: About) -> int:
    return sum(len(said or "") for said in about)
