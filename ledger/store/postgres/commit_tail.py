"""The feed of all commits to a ledger in PostgreSQL, whichever process made them.

Positions become visible in order and without gaps, so reading on from the last one misses nothing
and repeats nothing. Notifications only say when to read.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.aggregates.relations import changed_by, subject_of
from ledger.domain.events import Event, Recorded
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.listener import ChannelListener
from ledger.store.seam import Commit, Listener
from ledger.store.whole_streams import FIRST, whole

CHANNEL = "job_ledger"
"""Notified by each transaction that appends events."""
POLL_S = 1.0
IDLE_S = 0.1
"""How long to ignore notifications while no listener is interested: hundreds may come a second."""
READ_ROWS = 1_000
CACHED_STREAMS_MAX = 50_000
"""How many streams' states are kept in memory."""

log = logging.getLogger(__name__)


class _Row(NamedTuple):
    position: int
    stream: str
    version: int
    topic: str
    state: bytes


class CommitTail:
    """A `ledger.store.seam.SharedCommitFeed`; while no listener is interested, it only skips."""

    def __init__(self, connect: Callable[[], PgConnection], position: int) -> None:
        """Begin after this position."""
        self._position = position
        self._states: dict[str, Aggregate] = {}
        self._listeners: list[tuple[Listener, Callable[[], bool]]] = []
        self._channel = ChannelListener(connect, CHANNEL, self._look, poll_s=POLL_S)

    def listen(self, listener: Listener, wanted: Callable[[], bool]) -> None:
        """Call `listener` with each commit from now on, while any `wanted` returns true."""
        self._listeners.append((listener, wanted))

    @property
    def position(self) -> int:
        """The position of the newest event that was passed on, or skipped."""
        return self._position

    def close(self) -> None:
        self._channel.close()

    def _look(self, connection: PgConnection) -> float:
        head = connection.execute("SELECT position FROM leaf_count").fetchone()[0]
        # Asked after the head was read: a listener interested by then gets all that follows.
        if not any(wanted() for _, wanted in self._listeners):
            self._states.clear()
            self._position = max(self._position, head)
            return IDLE_S
        while self._position < head:
            rows = self._read(connection)
            commit = self._commit(connection, rows) if rows else None
            self._position = rows[-1].position if rows else head
            if commit is not None:
                self._pass_on(commit)
        return 0.0

    def _read(self, connection: PgConnection) -> list[_Row]:
        rows = connection.execute(
            "SELECT position, originator_id, originator_version, topic, state FROM stored_events"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (self._position, READ_ROWS),
        )
        return [*map(_Row._make, rows.fetchall())]

    def _commit(self, connection: PgConnection, rows: Sequence[_Row]) -> Commit:
        """Return the effects of these events, as if they were of one transaction."""
        if len(self._states) > CACHED_STREAMS_MAX:
            self._states.clear()
        self._read_states(connection, rows)
        events: list[tuple[str, Recorded[Event]]] = []
        related: set[str] = set()
        for row in rows:
            before = self._states.get(row.stream)
            if before is None and row.version > FIRST:
                continue  # of a stream that is not there any more, or cannot be read
            try:
                recorded = decode(row.topic, row.state)
                after = evolve(before, row.stream, recorded)
            except Exception:
                log.exception("event %d cannot be read and is not passed on", row.position)
                continue
            self._states[row.stream] = after
            events.append((row.stream, recorded))
            ended, begun = changed_by(recorded.event, before, after)
            related.update(map(subject_of, ended | begun))
        states = {stream: self._states[stream] for stream, _ in events}
        return Commit(rows[-1].position, events, states, frozenset(related))

    def _read_states(self, connection: PgConnection, rows: Sequence[_Row]) -> None:
        """Read the states of streams that are not cached, as of the last event passed on."""
        unknown = {row.stream for row in rows if row.version > FIRST} - self._states.keys()
        if not unknown:
            return
        earlier = connection.raw.execute(
            "SELECT originator_id, originator_version, topic, state FROM stored_events"
            " WHERE originator_id = ANY(%s) AND position <= %s"
            " ORDER BY originator_id, originator_version",
            (sorted(unknown), self._position),
        )
        for stream, _, topic, state in whole(earlier.fetchall()):
            self._fold(stream, topic, state)

    def _fold(self, stream: str, topic: str, state: bytes) -> None:
        try:
            recorded = decode(topic, state)
            self._states[stream] = evolve(self._states.get(stream), stream, recorded)
        except Exception:
            log.exception("stream %s cannot be read", stream)

    def _pass_on(self, commit: Commit) -> None:
        if not commit.events:
            return
        for listener, _ in self._listeners:
            try:
                listener(commit)
            except Exception:
                log.exception("a listener failed; its events are committed")
