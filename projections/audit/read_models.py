"""Checks that the read models show what follows from the events, and nothing else."""

from collections.abc import Container, Iterable

from ledger.domain.events import Event, Recorded
from ledger.store.seam import Cursor, LoggedEvent, Row, RowKey
from projections.audit.findings import Divergence, StreamState, divergence_at
from projections.audit_log import entries
from projections.rows import rows
from projections.tables import TABLES, select_all, select_one
from projections.views.generations import live_generation

READ_ROWS = 1_000


class ShownRows:
    """The rows of the live generation, which must hold none of a discarded stream."""

    def __init__(self, cursor: Cursor, discarded: Container[str]) -> None:
        self._cursor = cursor
        self._discarded = discarded
        self._generation = live_generation(cursor)
        self._expected: set[RowKey] = set()

    def wrong_entry(self, event: LoggedEvent, recorded: Recorded[Event], owner: str) -> str | None:
        """Return how the audit log's entry of this event is wrong."""
        if event.stream in self._discarded:
            return None
        return self._wrong_rows(entries(event.stream, event.version, recorded, owner).items())

    def wrong_rows(self, streams: Iterable[StreamState], position: int) -> Divergence | None:
        """Return a row that is wrong, missing, or does not come from an event."""
        for stream in streams:
            if stream.last.stream not in self._discarded:
                reason = self._wrong_rows(rows(stream.state).items())
                if reason is not None:
                    return divergence_at(stream.last, reason)
        return self._row_of_no_event(position)

    def _wrong_rows(self, expected: Iterable[tuple[RowKey, Row]]) -> str | None:
        for at, row in expected:
            self._expected.add(at)
            name, key = at
            self._cursor.execute(select_one(name, self._generation), key)
            shown = self._cursor.fetchone()
            if shown != row:
                return f"row {key} of {name} is {shown}, and should be {row}"
        return None

    def _row_of_no_event(self, position: int) -> Divergence | None:
        for table in TABLES:
            self._cursor.execute(select_all(table, self._generation))
            while some := self._cursor.fetchmany(READ_ROWS):
                for row in some:
                    if (table.name, row[: table.key]) not in self._expected:
                        reason = f"row {row[: table.key]} of {table.name} comes from no event"
                        return Divergence(position, str(row[0]), "", reason)
        return None
