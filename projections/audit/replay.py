"""Audit replay: whether the record is sound, and the read models show what it says.

Reads every event from the first in one snapshot, read-only, beside a running service or without
one, and trusts nothing: not the order, not the hashes, not the code that decided.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from heapq import merge
from pathlib import Path

from ledger.archives import Archive, BadArchive, Shelf
from ledger.codec import decode, leaf_hash
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.aggregates.housekeeping import Parking, Sweep
from ledger.domain.errors import UnknownEvent, UnreadableStream
from ledger.domain.event_rules import violation
from ledger.domain.events import ArchiveWritten, Event, Recorded
from ledger.store.seam import Log, LoggedEvent
from ledger.store.tables.tiles import gone_between, gone_count
from projections.audit.discards import Discards
from projections.audit.findings import (
    CannotReplay,
    Divergence,
    Held,
    Replay,
    Report,
    divergence_at,
)
from projections.audit.job_trees import Families
from projections.audit.read_models import Shown
from projections.streams import (
    CANNOT_FOLD,
    compactions,
    discarded_streams,
    parkings,
    sweeps,
    unread_streams,
)
from projections.views.generations import is_outdated

REPORT_EVENTS = 10_000


def replay(
    open_log: Callable[[], AbstractContextManager[Log]],
    report: Report,
    archives: Path | None = None,
) -> Replay:
    """Replays a ledger and compares it with itself and with the read models.

    With the directory of its archives, their events are replayed with the others, each in its
    place, and everything that was discarded is judged. Without, what is in archives is passed over,
    and must be marked as gone. What was discarded unread is not read here either; its bytes must be
    those that were stored. Raises `CannotReplay` and `StoreFailed`.
    """
    before = () if archives is None else Shelf(archives).names()
    with open_log() as log:
        if is_outdated(log.cursor()):
            raise CannotReplay("the read models have an earlier shape: a start rebuilds them")
        try:
            shelf = None if archives is None else _Archives(Shelf(archives), log, before)
            return _replayed(log, report, shelf)
        except BadArchive as error:
            reason = str(error)
            return Replay(
                0, 0, log.last_position(), Divergence(log.last_position(), "", "", reason)
            )
        except UnreadableStream as error:
            found = Divergence(error.position, error.stream, "", str(error))
            return Replay(0, 0, log.last_position(), found)


class _Archives:
    """The archives of a ledger as of one moment.

    Those that were there before it; and those that it names itself: one that was written since, and
    what was then deleted from the store, are none of its business.
    """

    def __init__(self, shelf: Shelf, log: Log, before: Iterable[str]) -> None:
        self.shelf = shelf
        self._names = {*before, *(one.written.archive for one in compactions(log))}

    def events(self) -> Iterator[LoggedEvent]:
        return self.shelf.events(names=self._names)


def _replayed(log: Log, report: Report, archives: _Archives | None) -> Replay:
    auditing = _Auditing(log, archives, unread_streams(parkings(log), sweeps(log)))
    divergence = auditing.run(report)
    if archives is not None and divergence is not None and divergence.stream:
        unread = _unread_anywhere(log, archives)
        if divergence.stream in unread:  # who said so is in an archive itself by now
            auditing = _Auditing(log, archives, unread)
            divergence = auditing.run(report)
    return Replay(auditing.done, auditing.streams, log.last_position(), divergence)


def _unread_anywhere(log: Log, archives: _Archives) -> set[str]:
    """The streams that were discarded unread, by what the ledger and all archives say."""
    acts: dict[str, Aggregate | None] = {}
    for event in archives.events():
        if event.stream.startswith(("parking-", "sweep-")):
            with suppress(*CANNOT_FOLD):  # where it is met in its turn, it is a divergence
                recorded = decode(event.topic, event.state)
                acts[event.stream] = evolve(acts.get(event.stream), event.stream, recorded)
    parked = [act for act in acts.values() if isinstance(act, Parking)]
    swept = [act for act in acts.values() if isinstance(act, Sweep)]
    return unread_streams(parked + parkings(log), swept + sweeps(log))


def replay_archive(file: Path, report: Report) -> Replay:
    """Replays an archive by itself: whether its streams are whole and sound, and its families.

    Whether what it holds was due to be discarded, only the whole ledger can say.
    """
    streams = _Streams()
    done, position, divergence = 0, 0, None
    try:
        archive = Archive.open(file)
        archive.check()
        for done, event in enumerate(archive.events(), 1):
            position = event.position
            reason = streams.take(event)
            if reason is not None:
                divergence = divergence_at(event, reason)
                break
            if done % REPORT_EVENTS == 0:
                report(done, archive.count)
    except BadArchive as error:
        divergence = Divergence(position, "", "", str(error))
    divergence = divergence or streams.families.unfinished()
    return Replay(done, len(streams.held), position, divergence)


class _Streams:
    """Streams as far as their events are replayed, each event judged by those before it."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.families = Families(self.held)

    def take(self, event: LoggedEvent) -> str | None:
        """Takes one more event; returns what is wrong with it."""
        held = self.held.get(event.stream) or Held(0, None, event)
        damage = _damage(event)
        if damage is not None:
            return damage
        if event.version != held.version + 1:
            return f"version {event.version} of the stream follows version {held.version}"
        try:
            recorded = decode(event.topic, event.state)
        except UnknownEvent as error:
            return str(error)
        reason = violation(held.state, event.stream, recorded.event)
        reason = reason or self.families.contradiction(event.stream, recorded.event)
        return reason or self._evolve(held, event, recorded)

    def _evolve(self, held: Held, event: LoggedEvent, recorded: Recorded[Event]) -> str | None:
        state = evolve(held.state, event.stream, recorded)
        self.held[event.stream] = Held(event.version, state, event)
        return None


def _damage(event: LoggedEvent) -> str | None:
    if (type(event.topic), type(event.state)) != (str, bytes):
        return "what is stored is not of the type that was stored"
    if leaf_hash(event.stream, event.version, event.topic, event.state) != event.leaf:
        return "its leaf hash is not that of its bytes"
    return None


class _Auditing(_Streams):
    """All streams of a ledger, with what it discarded and what it shows.

    `unread` are those that were discarded unread.
    """

    def __init__(self, log: Log, archives: _Archives | None, unread: Container[str]) -> None:
        super().__init__()
        self._unread = unread
        self.done = 0
        self._log = log
        self._cursor = log.cursor()
        self._archives = archives
        self._discards = Discards(self.held, self.families, unread)
        self._unshown = discarded_streams(sweeps(log))
        self._passed_over = _archived_streams(log) if archives is None else set()
        self._shown = Shown(self._cursor, self._unshown)
        self._leaves = 0

    @property
    def streams(self) -> int:
        return len(self.held)

    def run(self, report: Report) -> Divergence | None:
        """The first divergence: of the events by position, else of families, else of the rows."""
        total = self._log.leaf_count() if self._archives else self._log.count()
        for event in self._events():
            reason = self._missing_before(event.leaf_index)
            if reason is None and event.stream not in self._passed_over:
                reason = self.take(event)
            if reason is not None:
                return divergence_at(event, reason)
            if self.done % REPORT_EVENTS == 0:
                report(self.done, total)
            self.done += 1
        report(total, total)
        return (
            self._missing_end()
            or self._discards.unarchived()
            or self.families.unfinished()
            or self._shown.wrong_rows(self.held.values(), self._log.last_position())
        )

    def _events(self) -> Iterator[LoggedEvent]:
        if self._archives is None:
            return self._log.events()
        archived = self._noted(self._archives.events())
        return _once(merge(self._log.events(), archived, key=lambda event: event.position))

    def _noted(self, archived: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
        for event in archived:
            self._unshown.add(event.stream)
            yield event

    def _missing_before(self, leaf_index: int) -> str | None:
        """Where events that are missing before this one are not marked as gone, or not archived."""
        missing = leaf_index - self._leaves
        if missing < 0:
            return f"its leaf has index {leaf_index}, which was there before"
        if missing and (
            self._archives is not None
            or gone_between(self._cursor, self._leaves, leaf_index) != missing
        ):
            return f"its leaf has index {leaf_index}, not {self._leaves}: an event is missing"
        self._leaves = leaf_index + 1
        return None

    def _missing_end(self) -> Divergence | None:
        leaves = self._log.leaf_count()
        reason = self._missing_before(leaves)
        if reason is not None:
            reason = f"there have been {leaves} events; of the last, some are missing"
            return Divergence(self._log.last_position(), "", "", reason)
        return self._wrongly_gone()

    def _wrongly_gone(self) -> Divergence | None:
        """How many events are gone is said by the newest compaction, unless one is under way."""
        done = compactions(self._log)
        if not done or done[-1].gone is None:
            return None
        gone = gone_count(self._cursor)
        if gone == done[-1].gone:
            return None
        reason = f"{gone} events are gone, and {done[-1].gone} were compacted"
        return Divergence(self._log.last_position(), "", "", reason)

    def take(self, event: LoggedEvent) -> str | None:
        return _damage(event) if event.stream in self._unread else super().take(event)

    def _evolve(self, held: Held, event: LoggedEvent, recorded: Recorded[Event]) -> str | None:
        if event.stream in self._discards.streams:
            return "the stream had been discarded"
        if self._archives is not None and isinstance(recorded.event, ArchiveWritten):
            self._archives.shelf.get(recorded.event.archive).check(recorded.event.digest)
        super()._evolve(held, event, recorded)
        state = self.held[event.stream].state
        assert state is not None
        reason = self._discards.take(event, recorded)
        return reason or self._shown.wrong_entry(event, recorded, state.owner)


def _once(events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
    """What is in an archive and, as long as a compaction deletes, in the store comes once."""
    before: LoggedEvent | None = None
    for event in events:
        if event != before:
            yield event
        before = event


def _archived_streams(log: Log) -> set[str]:
    """What an archive has: these events may be in the store as well, or half of them be deleted."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return discarded_streams(sweep for sweep in sweeps(log) if sweep.uuid in archived)
