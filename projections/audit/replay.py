"""Audit replay: checks that the record is sound, and that the read models agree with it.

It reads every event from the first in one snapshot, read-only, with or without a running service,
and trusts nothing: neither the order, nor the hashes, nor the code that decided.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from heapq import merge
from pathlib import Path

from ledger.archives import Archive, BadArchive, Shelf
from ledger.codec import decode, leaf_hash
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.aggregates.housekeeping import Parking, Sweep
from ledger.domain.errors.store import UnknownEvent, UnreadableStream
from ledger.domain.event_rules import violation
from ledger.domain.events import Event, Recorded
from ledger.domain.events.housekeeping import ArchiveWritten
from ledger.domain.events.jobs import job_stream
from ledger.store.seam import Log, LoggedEvent
from ledger.store.tables import texts
from ledger.store.tables.tiles import gone_between, gone_count
from projections.audit.discards import Discards
from projections.audit.findings import (
    CannotReplay,
    Divergence,
    Replay,
    Report,
    StreamState,
    divergence_at,
)
from projections.audit.job_trees import JobTrees
from projections.audit.read_models import ShownRows
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
    """Replay a ledger and compare it with itself and with the read models.

    With the directory of its archives, their events are replayed in their places among the others,
    and everything that was discarded is judged. Without it, events that are in archives are
    skipped, and must be marked as gone. Streams that were discarded unread are not read here
    either; only their bytes are checked. Raise `CannotReplay` and `StoreFailed`.
    """
    before = () if archives is None else Shelf(archives).names()
    with open_log() as log:
        if is_outdated(log.cursor()):
            raise CannotReplay("the read models have an earlier version: a start rebuilds them")
        try:
            shelf = None if archives is None else _Archives(Shelf(archives), log, before)
            return _replay(log, report, shelf)
        except BadArchive as error:
            reason = str(error)
            return Replay(
                0, 0, log.last_position(), Divergence(log.last_position(), "", "", reason)
            )
        except UnreadableStream as error:
            found = Divergence(error.position, error.stream, "", str(error))
            return Replay(0, 0, log.last_position(), found)


class _Archives:
    """The archives of a ledger as of one moment: those there before it, and those it names.

    An archive that was written since is left out: at that moment, its events were in the store.
    """

    def __init__(self, shelf: Shelf, log: Log, before: Iterable[str]) -> None:
        self.shelf = shelf
        self._names = {*before, *(one.written.archive for one in compactions(log))}

    def events(self) -> Iterator[LoggedEvent]:
        return self.shelf.events(names=self._names)


def _replay(log: Log, report: Report, archives: _Archives | None) -> Replay:
    audit = _Audit(log, archives, unread_streams(parkings(log), sweeps(log)))
    divergence = audit.run(report)
    if archives is not None and divergence is not None and divergence.stream:
        unread = _unread_anywhere(log, archives)
        if divergence.stream in unread:  # the event that says so is in an archive itself by now
            audit = _Audit(log, archives, unread)
            divergence = audit.run(report)
    return Replay(audit.done, audit.streams, log.last_position(), divergence)


def _unread_anywhere(log: Log, archives: _Archives) -> set[str]:
    """Return the streams that were discarded unread according to the ledger and all archives."""
    acts: dict[str, Aggregate | None] = {}
    for event in archives.events():
        if event.stream.startswith(("parking-", "sweep-")):
            with suppress(*CANNOT_FOLD):  # the replay reports it as a divergence
                recorded = decode(event.topic, event.state)
                acts[event.stream] = evolve(acts.get(event.stream), event.stream, recorded)
    parked = [act for act in acts.values() if isinstance(act, Parking)]
    swept = [act for act in acts.values() if isinstance(act, Sweep)]
    return unread_streams(parked + parkings(log), swept + sweeps(log))


def replay_archive(file: Path, report: Report) -> Replay:
    """Replay an archive by itself: check that its streams and trees are whole and sound.

    Only the whole ledger can say whether they were due to be discarded.
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
    divergence = divergence or streams.trees.unfinished()
    return Replay(done, len(streams.states), position, divergence)


class _Streams:
    """Streams as far as they are replayed; each event is judged by those before it."""

    def __init__(self) -> None:
        self.states: dict[str, StreamState] = {}
        self.trees = JobTrees(self.states)

    def take(self, event: LoggedEvent) -> str | None:
        """Take an event; return what is wrong with it."""
        before = self.states.get(event.stream) or StreamState(0, None, event)
        damage = _damage(event)
        if damage is not None:
            return damage
        if event.version != before.version + 1:
            return f"version {event.version} of the stream follows version {before.version}"
        try:
            recorded = decode(event.topic, event.state)
        except UnknownEvent as error:
            return str(error)
        reason = violation(before.state, event.stream, recorded.event)
        reason = reason or self.trees.contradiction(event.stream, recorded.event)
        return reason or self._evolve(before, event, recorded)

    def _evolve(
        self, before: StreamState, event: LoggedEvent, recorded: Recorded[Event]
    ) -> str | None:
        state = evolve(before.state, event.stream, recorded)
        self.states[event.stream] = StreamState(event.version, state, event)
        return None


def _damage(event: LoggedEvent) -> str | None:
    if (type(event.topic), type(event.state)) != (str, bytes):
        return "what is stored is not of the type that was stored"
    if leaf_hash(event.stream, event.version, event.topic, event.state) != event.leaf:
        return "its leaf hash is not that of its bytes"
    return None


class _Audit(_Streams):
    """All streams of a ledger, with what it discarded and its read models.

    `unread` are the streams that were discarded unread.
    """

    def __init__(self, log: Log, archives: _Archives | None, unread: Collection[str]) -> None:
        super().__init__()
        self._unread = unread
        self.done = 0
        self._log = log
        self._cursor = log.cursor()
        self._archives = archives
        self._discards = Discards(self.states, self.trees, unread)
        self._unshown = discarded_streams(sweeps(log))
        self._passed_over = _archived_streams(log) if archives is None else set()
        self._shown = ShownRows(self._cursor, self._unshown)
        self._leaves = 0

    @property
    def streams(self) -> int:
        return len(self.states)

    def run(self, report: Report) -> Divergence | None:
        """Return the first divergence: of events by position, else of trees, else of rows."""
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
            or self.trees.unfinished()
            or self._shown.wrong_rows(self.states.values(), self._log.last_position())
            or self._unproved_words()
        )

    def _unproved_words(self) -> Divergence | None:
        for job, slot in texts.unproved(self._cursor):
            reason = f"no event proves the words that lie beside it as its {slot}"
            return Divergence(self._log.last_position(), job_stream(job), "", reason)
        return None

    def _events(self) -> Iterator[LoggedEvent]:
        if self._archives is None:
            return self._log.events()
        archived = self._hide(self._archives.events())
        return _without_repeats(
            merge(self._log.events(), archived, key=lambda event: event.position)
        )

    def _hide(self, archived: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
        for event in archived:
            self._unshown.add(event.stream)
            yield event

    def _missing_before(self, leaf_index: int) -> str | None:
        """Return how events are missing before this one that are neither gone nor archived."""
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
        """Compare how many events are gone with the newest compaction, unless one is under way."""
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

    def _evolve(
        self, before: StreamState, event: LoggedEvent, recorded: Recorded[Event]
    ) -> str | None:
        if event.stream in self._discards.streams:
            return "the stream had been discarded"
        if self._archives is not None and isinstance(recorded.event, ArchiveWritten):
            self._archives.shelf.get(recorded.event.archive).check(recorded.event.digest)
        super()._evolve(before, event, recorded)
        state = self.states[event.stream].state
        assert state is not None
        reason = self._discards.take(event, recorded)
        return reason or self._shown.wrong_entry(event, recorded, state.owner)


def _without_repeats(events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
    """Yield each event once, even one that a compaction has archived but not deleted yet."""
    before: LoggedEvent | None = None
    for event in events:
        if event != before:
            yield event
        before = event


def _archived_streams(log: Log) -> set[str]:
    """Return the streams in archives; their events may still be in the store, some or all."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return discarded_streams(sweep for sweep in sweeps(log) if sweep.uuid in archived)
