"""Audit replay: whether the record is sound, and the read models show what it says.

Reads every event from the first in one snapshot, read-only, beside a running service or without
one, and trusts nothing: not the order, not the hashes, not the code that decided.
"""

from collections.abc import Iterator
from pathlib import Path

from ledger.aggregate import evolve
from ledger.codec import decode, leaf_hash
from ledger.errors import UnknownEvent
from ledger.events import Event, Recorded
from ledger.legality import illegality
from ledger.store.seam import Log, LoggedEvent, Row, RowKey
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
from projections.audit_log import entries
from projections.retention.planning import compactions
from projections.rows import rows
from projections.streams import discarded_streams, sweeps
from projections.views.sqlite import is_outdated, live_generation
from projections.views.tables import TABLES, select_all, select_one

REPORT_EVENTS = 10_000
READ_ROWS = 1_000


def replay(file: Path, report: Report) -> Replay:
    """Replays the ledger in this file and compares it with itself and with the read models.

    Raises `CannotReplay`.
    """
    with opened(file) as log:
        if is_outdated(log.cursor()):
            raise CannotReplay("the read models have an earlier shape: a start rebuilds them")
        auditing = _Auditing(log)
        divergence = auditing.run(report)
        return Replay(log.count(), auditing.streams, log.last_position(), divergence)


def _archived_streams(log: Log) -> set[str]:
    """What an archive has: these events may be in the store as well, or half of them be deleted."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return discarded_streams(sweep for sweep in sweeps(log) if sweep.uuid in archived)


class _Auditing:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._held: dict[str, _Held] = {}
        self._entries: set[RowKey] = set()
        self._cursor = log.cursor()
        self._generation = live_generation(self._cursor)

    @property
    def streams(self) -> int:
        return len(self._held)

    def run(self, report: Report) -> Divergence | None:
        """The first divergence: of the events by position, else of families, else of the rows."""
        total = self._log.count()
        for done, event in enumerate(self._log.events()):
            reason = self._replay(done, event)
            if reason is not None:
                return _divergence(event, reason)
            if done % REPORT_EVENTS == 0:
                report(done, total)
        report(total, total)
        return self._missing_end(total) or self._unfinished_family() or self._wrong_rows()

    def _wrong_entry(self, event: LoggedEvent, recorded: Recorded[Event], owner: str) -> str | None:
        """Where the audit log does not tell of this event what it should."""
        for key, row in entries(event.stream, event.version, recorded, owner).items():
            self._entries.add(key)
            reason = self._wrong_row(key, row)
            if reason is not None:
                return reason
        return None

    def _wrong_row(self, at: RowKey, row: Row) -> str | None:
        name, key = at
        self._cursor.execute(select_one(name, self._generation), key)
        shown = self._cursor.fetchone()
        return None if shown == row else f"row {key} of {name} is {shown}, and should be {row}"

    def _missing_end(self, total: int) -> Divergence | None:
        leaves = self._log.leaf_count()
        if leaves == total:
            return None
        reason = f"there have been {leaves} events, {total} are left"
        return Divergence(self._log.last_position(), "", "", reason)

    def _replay(self, leaf_index: int, event: LoggedEvent) -> str | None:
        """Takes one more event; returns what is wrong with it."""
        held = self._held.get(event.stream) or _Held(0, None, event)
        if event.leaf_index != leaf_index:
            return f"its leaf has index {event.leaf_index}, not {leaf_index}: an event is missing"
        if (type(event.topic), type(event.state)) != (str, bytes):
            return "what is stored is not of the type that was stored"
        if leaf_hash(event.stream, event.version, event.topic, event.state) != event.leaf:
            return "its leaf hash is not that of its bytes"
        if event.version != held.version + 1:
            return f"version {event.version} of the stream follows version {held.version}"
        try:
            recorded = decode(event.topic, event.state)
        except UnknownEvent as error:
            return str(error)
        reason = illegality(held.state, event.stream, recorded.event)
        if reason is None:
            reason = self._contradiction(event.stream, recorded.event)
        if reason is None:
            state = evolve(held.state, event.stream, recorded)
            self._held[event.stream] = _Held(event.version, state, event)
            reason = self._wrong_entry(event, recorded, state.owner)
        return reason

    def _contradiction(self, stream: str, event: Event) -> str | None:
        """Where parent and child do not say the same."""
        match event:
            case JobCreated(parent=str(parent), root=root):
                above = self._job(parent)
                if above is None or above.state != "started" or above.root != root:
                    return f"parent {parent} is not a running job of the same tree"
            case ChildAttached(child=child):
                below = self._job(child)
                if below is None or job_stream(below.parent or "") != stream:
                    return f"job {child} does not say that this is its parent"
            case ChildEnded(child=child, how=how):
                below = self._job(child)
                if below is None or below.state != how:
                    return f"job {child} did not end so: {how}"
            case _:
                pass
        return None

    def _job(self, uuid: str) -> Job | None:
        held = self._held.get(job_stream(uuid))
        return held.state if held is not None and isinstance(held.state, Job) else None

    def _unfinished_family(self) -> Divergence | None:
        """A child that its parent does not know, or a parent that its children did not settle."""
        for held in self._held.values():
            job = held.state
            if not isinstance(job, Job):
                continue
            if job.parent is not None and not self._is_known(job):
                return _divergence(held.last, f"parent {job.parent} does not know of it so")
            ended = [child.ended for child in job.children]
            if job.state == "started" and ended and all(ended):
                return _divergence(held.last, "all its children have ended, but not the job")
        return None

    def _is_known(self, job: Job) -> bool:
        """Whether its parent knows of the job, and of its end if it has ended."""
        parent = self._job(job.parent or "")
        ended = None if job.state == "started" else job.state
        return parent is not None and Child(job.uuid, ended) in parent.children

    def _wrong_rows(self) -> Divergence | None:
        """A row that is not what the events make of it, missing, or made of no event."""
        expected = self._entries
        for held in self._held.values():
            for key, row in rows(held.state).items():
                expected.add(key)
                reason = self._wrong_row(key, row)
                if reason is not None:
                    return _divergence(held.last, reason)
        return self._row_of_no_event(expected)

    def _row_of_no_event(self, expected: set[RowKey]) -> Divergence | None:
        for table in TABLES:
            self._cursor.execute(select_all(table, self._generation))
            while some := self._cursor.fetchmany(READ_ROWS):
                for row in some:
                    if (table.name, row[: table.key]) not in expected:
                        reason = f"row {row[: table.key]} of {table.name} comes from no event"
                        return Divergence(self._log.last_position(), str(row[0]), "", reason)
        return None


def _divergence(event: LoggedEvent, reason: str) -> Divergence:
    return Divergence(event.position, event.stream, event.topic, reason)
