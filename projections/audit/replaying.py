"""Audit replay: whether the record is sound, and the read models show what it says.

Reads every event from the first in one snapshot, read-only, beside a running service or without
one, and trusts nothing: not the order, not the hashes, not the code that decided.
"""

from pathlib import Path

from ledger.aggregate import evolve
from ledger.codec import decode, leaf_hash
from ledger.errors import UnknownEvent
from ledger.events import Event, Recorded
from ledger.legality import illegality
from ledger.store.seam import Log, LoggedEvent
from ledger.store.tiles import gone_between, gone_count
from projections.audit.discards import Discards
from projections.audit.families import Families
from projections.audit.findings import (
    CannotReplay,
    Divergence,
    Held,
    Replay,
    Report,
    divergence_at,
)
from projections.audit.opening import opened
from projections.audit.shown import Shown
from projections.retention.planning import compactions
from projections.streams import discarded_streams, sweeps, unread_streams
from projections.views.sqlite import is_outdated

REPORT_EVENTS = 10_000


def replay(file: Path, report: Report) -> Replay:
    """Replays the ledger in this file and compares it with itself and with the read models.

    What is in archives only is passed over, and must be marked as gone; so is what was discarded
    unread, whose bytes must be those that were stored. Raises `CannotReplay`.
    """
    with opened(file) as log:
        if is_outdated(log.cursor()):
            raise CannotReplay("the read models have an earlier shape: a start rebuilds them")
        auditing = _Auditing(log)
        divergence = auditing.run(report)
        return Replay(log.count(), auditing.streams, log.last_position(), divergence)


class _Auditing:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._cursor = log.cursor()
        self._held: dict[str, Held] = {}
        self._families = Families(self._held)
        swept = sweeps(log)
        self._unread = unread_streams(log, swept)
        self._discards = Discards(self._held, self._families, self._unread)
        self._shown = Shown(self._cursor, discarded_streams(swept))
        self._archived = _archived_streams(log)
        self._leaves = 0

    @property
    def streams(self) -> int:
        return len(self._held)

    def run(self, report: Report) -> Divergence | None:
        """The first divergence: of the events by position, else of families, else of the rows."""
        total = self._log.count()
        for done, event in enumerate(self._log.events()):
            reason = self._missing_before(event.leaf_index)
            if reason is None and event.stream not in self._archived:
                reason = self._replay(event)
            if reason is not None:
                return divergence_at(event, reason)
            if done % REPORT_EVENTS == 0:
                report(done, total)
        report(total, total)
        return (
            self._missing_end()
            or self._discards.unarchived()
            or self._families.unfinished()
            or self._shown.wrong_rows(self._held.values(), self._log.last_position())
        )

    def _missing_before(self, leaf_index: int) -> str | None:
        """Where events that are missing before this one are not marked as gone."""
        missing = leaf_index - self._leaves
        if missing < 0:
            return f"its leaf has index {leaf_index}, which was there before"
        if missing and gone_between(self._cursor, self._leaves, leaf_index) != missing:
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

    def _replay(self, event: LoggedEvent) -> str | None:
        """Takes one more event; returns what is wrong with it."""
        held = self._held.get(event.stream) or Held(0, None, event)
        if (type(event.topic), type(event.state)) != (str, bytes):
            return "what is stored is not of the type that was stored"
        if leaf_hash(event.stream, event.version, event.topic, event.state) != event.leaf:
            return "its leaf hash is not that of its bytes"
        if event.stream in self._unread:
            return None
        if event.version != held.version + 1:
            return f"version {event.version} of the stream follows version {held.version}"
        if event.stream in self._discards.streams:
            return "the stream had been discarded"
        try:
            recorded = decode(event.topic, event.state)
        except UnknownEvent as error:
            return str(error)
        return self._illegality(held, event, recorded) or self._evolve(held, event, recorded)

    def _illegality(self, held: Held, event: LoggedEvent, recorded: Recorded[Event]) -> str | None:
        reason = illegality(held.state, event.stream, recorded.event)
        return reason or self._families.contradiction(event.stream, recorded.event)

    def _evolve(self, held: Held, event: LoggedEvent, recorded: Recorded[Event]) -> str | None:
        state = evolve(held.state, event.stream, recorded)
        self._held[event.stream] = Held(event.version, state, event)
        reason = self._discards.take(event, recorded)
        return reason or self._shown.wrong_entry(event, recorded, state.owner)


def _archived_streams(log: Log) -> set[str]:
    """What an archive has: these events may be in the store as well, or half of them be deleted."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return discarded_streams(sweep for sweep in sweeps(log) if sweep.uuid in archived)
