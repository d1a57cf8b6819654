"""Tells of every commit to a ledger in PostgreSQL, whichever process made it.

Positions become visible in their order and without gaps, so whoever reads on from the last one
misses nothing and is told nothing twice. Notifications only say when to look.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.aggregates.relations import relations_of, subject_of
from ledger.domain.events import Event, Recorded
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.listener import Listening
from ledger.store.seam import Commit, Listener

CHANNEL = "job_ledger"
"""Notified by each transaction that appends events."""
POLL_S = 1.0
IDLE_S = 0.1
"""How long none is looked at while nobody wants to know: others may make hundreds a second."""
READ_ROWS = 1_000
REMEMBERED = 50_000
"""How many streams' states are kept in memory."""

log = logging.getLogger(__name__)


class _Row(NamedTuple):
    position: int
    stream: str
    version: int
    topic: str
    state: bytes


class CommitTail:
    """A `ledger.store.seam.SharedCommitFeed`; while nobody wants to know, it only skips."""

    def __init__(self, connect: Callable[[], PgConnection], position: int) -> None:
        """It tells of what comes after this position."""
        self._position = position
        self._states: dict[str, Aggregate] = {}
        self._listeners: list[tuple[Listener, Callable[[], bool]]] = []
        self._listening = Listening(connect, CHANNEL, self._look, poll_s=POLL_S)

    def listen(self, listener: Listener, wanted: Callable[[], bool]) -> None:
        """Tells `listener` of each commit from now on, while somebody's `wanted` says so."""
        self._listeners.append((listener, wanted))

    @property
    def position(self) -> int:
        """The position of the newest event that was told of, or skipped."""
        return self._position

    def close(self) -> None:
        self._listening.close()

    def _look(self, connection: PgConnection) -> float:
        head = connection.execute("SELECT position FROM leaf_count").fetchone()[0]
        # Asked after the head was read: whoever wants to know by then hears of all behind it.
        if not any(wanted() for _, wanted in self._listeners):
            self._states.clear()
            self._position = max(self._position, head)
            return IDLE_S
        while self._position < head:
            rows = self._read(connection)
            commit = self._commit(connection, rows) if rows else None
            self._position = rows[-1].position if rows else head
            if commit is not None:
                self._tell(commit)
        return 0.0

    def _read(self, connection: PgConnection) -> list[_Row]:
        rows = connection.execute(
            "SELECT position, originator_id, originator_version, topic, state FROM stored_events"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (self._position, READ_ROWS),
        )
        return [*map(_Row._make, rows.fetchall())]

    def _commit(self, connection: PgConnection, rows: Sequence[_Row]) -> Commit:
        """What these events brought about, as if they were of one transaction."""
        if len(self._states) > REMEMBERED:
            self._states.clear()
        self._recall(connection, rows)
        events: list[tuple[str, Recorded[Event]]] = []
        related: set[str] = set()
        for row in rows:
            try:
                recorded = decode(row.topic, row.state)
                before = self._states.get(row.stream)
                after = evolve(before, row.stream, recorded)
            except Exception:
                log.exception("nobody is told of event %d, it cannot be read", row.position)
                continue
            self._states[row.stream] = after
            events.append((row.stream, recorded))
            related.update(map(subject_of, relations_of(before) ^ relations_of(after)))
        states = {stream: self._states[stream] for stream, _ in events}
        return Commit(rows[-1].position, events, states, frozenset(related))

    def _recall(self, connection: PgConnection, rows: Sequence[_Row]) -> None:
        """Reads the states of streams that are not remembered, as of the last event told of."""
        unknown = {row.stream for row in rows if row.version > 1} - self._states.keys()
        if not unknown:
            return
        earlier = connection.raw.execute(
            "SELECT originator_id, topic, state FROM stored_events"
            " WHERE originator_id = ANY(%s) AND position <= %s"
            " ORDER BY originator_id, originator_version",
            (sorted(unknown), self._position),
        )
        for stream, topic, state in earlier.fetchall():
            self._fold(stream, topic, state)

    def _fold(self, stream: str, topic: str, state: bytes) -> None:
        try:
            recorded = decode(topic, state)
            self._states[stream] = evolve(self._states.get(stream), stream, recorded)
        except Exception:
            log.exception("stream %s cannot be read", stream)

    def _tell(self, commit: Commit) -> None:
        if not commit.events:
            return
        for listener, _ in self._listeners:
            try:
                listener(commit)
            except Exception:
                log.exception("a listener failed; the events it was told of are committed")
