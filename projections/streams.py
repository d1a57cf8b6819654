"""The rows that show a stream, and those that tell of its events, from its history alone."""

from collections.abc import Iterable, Sequence

from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve, fold
from ledger.domain.aggregates.housekeeping import Compaction, Parking, Policy, Sweep
from ledger.domain.errors import UnknownEvent, UnreadableStream
from ledger.domain.events import POLICY_STREAM, Event, Recorded
from ledger.store.seam import Log, Rows
from projections.audit_log import entries
from projections.rows import rows

CANNOT_FOLD = (UnknownEvent, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Folding is pure: whatever it raises is about what is stored."""


def rows_of_history(stream: str, history: Sequence[Recorded[Event]]) -> Rows:
    """All rows that come of these events of a stream."""
    state = fold(stream, history)
    if state is None:
        return {}
    shown = dict(rows(state))
    for version, recorded in enumerate(history, 1):
        shown |= entries(stream, version, recorded, state.owner)
    return shown


def rows_of_stream(log: Log, stream: str) -> Rows:
    """All rows that come of a stream. Raises `UnreadableStream`."""
    stored = log.stream(stream)
    try:
        return rows_of_history(stream, [decode(topic, state) for _, topic, state in stored])
    except CANNOT_FOLD as error:
        raise unreadable_stream(log, stream, error) from error


def unreadable_stream(log: Log, stream: str, error: Exception) -> UnreadableStream:
    """Where it is that a stream cannot be folded, which was found out by this error."""
    state: Aggregate | None = None
    position = 0
    for position, topic, stored in log.stream(stream):
        try:
            state = evolve(state, stream, decode(topic, stored))
        except CANNOT_FOLD as found:
            return UnreadableStream(stream, position, _reason(found))
    return UnreadableStream(stream, position, _reason(error))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def fold_stream(log: Log, stream: str) -> Aggregate | None:
    """The aggregate of a stream as of this log. Raises `UnreadableStream`."""
    try:
        return fold(stream, (decode(topic, stored) for _, topic, stored in log.stream(stream)))
    except CANNOT_FOLD as error:
        raise unreadable_stream(log, stream, error) from error


def sweeps(log: Log) -> list[Sweep]:
    """All sweeps that are in the store, oldest first."""
    states = [fold_stream(log, stream) for stream in log.streams_of("sweep")]
    found = [state for state in states if isinstance(state, Sweep)]
    return sorted(found, key=lambda sweep: sweep.last_modified)


def discarded_streams(swept: Iterable[Sweep]) -> set[str]:
    """The streams that are shown no more, although their events may still be in the store."""
    return {stream for sweep in swept for stream in sweep.streams()}


def parkings(log: Log) -> list[Parking]:
    """All streams that are parked or were, the one parked or released last at the end."""
    states = [fold_stream(log, stream) for stream in log.streams_of("parking")]
    return sorted(
        (state for state in states if isinstance(state, Parking)), key=lambda parking: parking.at
    )


def unread_streams(parked: Iterable[Parking], swept: Iterable[Sweep]) -> set[str]:
    """What these sweeps discarded without having read it: whole trees, and single streams."""
    skipped = {parking.stream for parking in parked if parking.handling == "skip"}
    unread: set[str] = set()
    for sweep in swept:
        unread.update(skipped.intersection(sweep.others))
        for tree in sweep.trees:
            streams = tree.streams()
            if not skipped.isdisjoint(streams):
                unread.update(streams)
    return unread


def policy_of(log: Log) -> Policy:
    """The retention policies that were set."""
    state = fold_stream(log, POLICY_STREAM)
    assert state is None or isinstance(state, Policy)
    return state or Policy()


def compactions(log: Log) -> list[Compaction]:
    """All compactions that are in the store, in the order in which they were recorded."""
    streams = log.streams_of("compaction")
    streams.sort(key=lambda stream: log.stream(stream)[0][0])
    states = [fold_stream(log, stream) for stream in streams]
    return [state for state in states if isinstance(state, Compaction)]


def pending_sweeps(log: Log) -> list[Sweep]:
    """The sweeps whose events are in no archive yet; one that was broken off is among them."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return [sweep for sweep in sweeps(log) if sweep.uuid not in archived]
