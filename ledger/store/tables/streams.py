"""Streams, read many at a time: where they are, and what they held at a position."""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from ledger.codec import decode, name_of, topics_of
from ledger.domain.aggregates.job import ENDINGS
from ledger.domain.events import Event, Recorded
from ledger.store.log import SELECT_EVENTS
from ledger.store.parameters import among
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.whole_streams import FIRST, whole

_ENDING_TOPICS = ", ".join(f"'{topic}'" for topic in topics_of(ENDINGS))

Stored = tuple[str, bytes]
"""An event's topic and state."""


class Span(NamedTuple):
    """The positions of a stream's first and last event."""

    first: int
    last: int


def newest(cursor: Cursor) -> int:
    """Return the position of the newest event; 0 before the first."""
    cursor.execute("SELECT coalesce(max(position), 0) FROM stored_events")
    return int(cursor.fetchone()[0])


def spans(cursor: Cursor, streams: Sequence[str]) -> dict[str, Span]:
    """Return where these streams are, without those that are not there.

    This takes two index look-ups for each stream, no matter how long it is.
    """
    rows = among(
        cursor,
        "WITH asked (stream) AS (VALUES ...) SELECT stream,"
        " (SELECT position FROM stored_events WHERE originator_id = stream"
        "  AND originator_version = 1),"
        " (SELECT position FROM stored_events WHERE originator_id = stream"
        "  ORDER BY originator_version DESC LIMIT 1) FROM asked",
        streams,
        mark="(?)",
    )
    return {stream: Span(first, last) for stream, first, last in rows if first is not None}


def histories(
    cursor: Cursor, streams: Sequence[str], until: int
) -> Iterator[tuple[str, list[Stored]]]:
    """Yield each of these streams that had begun, with its events up to this position."""
    rows = among(
        cursor,
        "SELECT originator_id, originator_version, topic, state FROM stored_events"
        " WHERE originator_id IN (...) AND position <= ?"
        " ORDER BY originator_id, originator_version",
        streams,
        until,
    )
    for stream, events in groupby(whole(rows), itemgetter(0)):
        yield stream, [(topic, state) for _, _, topic, state in events]


def stored_of(cursor: Cursor, stream: str) -> list[Stored]:
    """Return the events of one stream, in order, in the form in which they are folded."""
    return stored_since(cursor, stream, 0) or []


def stored_since(cursor: Cursor, stream: str, version: int) -> list[Stored] | None:
    """Return the events of a stream after this version; None if the stream is not there."""
    cursor.execute(
        "SELECT originator_id, originator_version, topic, state FROM stored_events"
        " WHERE originator_id = ? AND originator_version = 1"
        " UNION ALL SELECT originator_id, originator_version, topic, state FROM stored_events"
        " WHERE originator_id = ? AND originator_version > ?"
        " ORDER BY originator_id, originator_version",
        (stream, stream, max(version, FIRST)),
    )
    found = [*whole(cursor.fetchall())]
    return [(topic, state) for _, at, topic, state in found if at > version] if found else None


def last_version(cursor: Cursor, stream: str) -> int:
    """Return the version of the last event of a stream, or of its tail; 0 without any."""
    cursor.execute(
        "SELECT coalesce(max(originator_version), 0) FROM stored_events WHERE originator_id = ?",
        (stream,),
    )
    return int(cursor.fetchone()[0])


def end_position(stream: str) -> str:
    """Return SQL for the position of the event that ended a job; NULL if there is none.

    `stream` is SQL for the name of its stream. Few events follow an end, so few are looked at.
    """
    return (
        "(SELECT position FROM stored_events"  # noqa: S608 - constants
        f" WHERE originator_id = {stream} AND topic IN ({_ENDING_TOPICS})"
        " ORDER BY originator_version DESC LIMIT 1)"
    )


def position_of(cursor: Cursor, stream: str, names: Collection[str]) -> int:
    """Return the position of a stream's newest event of one of these names; 0 without any."""
    cursor.execute(
        "SELECT position, topic FROM stored_events"
        " WHERE originator_id = ? ORDER BY originator_version DESC",
        (stream,),
    )
    found = (int(position) for position, topic in cursor.fetchall() if name_of(topic) in names)
    return next(found, 0)


def stream_events(cursor: Cursor, stream: str) -> list[LoggedEvent]:
    cursor.execute(
        f"{SELECT_EVENTS} WHERE originator_id = ? ORDER BY originator_version", (stream,)
    )
    events = [LoggedEvent._make(row) for row in cursor.fetchall()]
    rows = whole((event.stream, event.version, event) for event in events)
    return [event for _, _, event in rows]


def events_of_kind(cursor: Cursor, kind: str, after: int) -> list[Recorded[Event]]:
    """Return the events after this position of all streams whose names begin with `kind-`."""
    cursor.execute(
        "SELECT topic, state FROM stored_events AS event"
        " WHERE originator_id > ? AND originator_id < ? AND position > ? AND EXISTS"
        " (SELECT 1 FROM stored_events WHERE originator_id = event.originator_id"
        "  AND originator_version = 1) ORDER BY position",
        (f"{kind}-", f"{kind}.", after),  # a full stop comes right after a hyphen
    )
    return [decode(topic, state) for topic, state in cursor.fetchall()]
