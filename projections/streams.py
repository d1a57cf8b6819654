"""Whole streams read from a log: their rows, their states, and the ledger's own streams."""

from collections.abc import Iterable, Sequence

from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve, fold
from ledger.domain.aggregates.housekeeping import Compaction, Parking, Policy, Sweep
from ledger.domain.errors.store import UnknownEvent, UnreadableStream
from ledger.domain.events import Event, Recorded
from ledger.domain.events.housekeeping import POLICY_STREAM
from ledger.store.seam import Log, Rows
from projections.audit_log import entries
from projections.rows import rows

CANNOT_FOLD = (UnknownEvent, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What folding raises: it is pure, so the cause is what is stored."""


def rows_of_history(stream: str, history: Sequence[Recorded[Event]]) -> Rows:
    """Return all rows that follow from these events of a stream."""
    state = fold(stream, history)
    if state is None:
        return {}
    shown = dict(rows(state))
    for version, recorded in enumerate(history, 1):
        shown |= entries(stream, version, recorded, state.owner)
    return shown


def rows_of_stream(log: Log, stream: str) -> Rows:
    """Return all rows of a stream that is shown. Raise `UnreadableStream`."""
    stored = log.stream(stream)
    if not stored:
        raise UnreadableStream(stream, 0, "its first event is not there")
    try:
        return rows_of_history(stream, [decode(topic, state) for _, topic, state in stored])
    except CANNOT_FOLD as error:
        raise unreadable_stream(log, stream, error) from error


def unreadable_stream(log: Log, stream: str, error: Exception) -> UnreadableStream:
    """Return an error that says where a stream cannot be folded; this error revealed it."""
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
    """Return the aggregate of a stream as of this log. Raise `UnreadableStream`."""
    try:
        return fold(stream, (decode(topic, stored) for _, topic, stored in log.stream(stream)))
    except CANNOT_FOLD as error:
        raise unreadable_stream(log, stream, error) from error


def sweeps(log: Log) -> list[Sweep]:
    """Return all sweeps that are in the store, oldest first."""
    states = [fold_stream(log, stream) for stream in log.streams_of("sweep")]
    found = [state for state in states if isinstance(state, Sweep)]
    return sorted(found, key=lambda sweep: sweep.last_modified)


def discarded_streams(swept: Iterable[Sweep]) -> set[str]:
    """Return the streams that are no longer shown, though the store may still have their events."""
    return {stream for sweep in swept for stream in sweep.streams()}


def parkings(log: Log) -> list[Parking]:
    """Return all parkings, the one that was parked or released last at the end."""
    states = [fold_stream(log, stream) for stream in log.streams_of("parking")]
    return sorted(
        (state for state in states if isinstance(state, Parking)), key=lambda parking: parking.at
    )


def unread_streams(parked: Iterable[Parking], swept: Iterable[Sweep]) -> set[str]:
    """Return what these sweeps discarded unread: whole trees, and single streams."""
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
    """Return the retention policies that were set."""
    state = fold_stream(log, POLICY_STREAM)
    assert state is None or isinstance(state, Policy)
    return state or Policy()


def compactions(log: Log) -> list[Compaction]:
    """Return all compactions that are in the store, in the order of their recording."""
    streams = log.streams_of("compaction")
    streams.sort(key=lambda stream: log.stream(stream)[0][0])
    states = [fold_stream(log, stream) for stream in streams]
    return [state for state in states if isinstance(state, Compaction)]


def streams_being_deleted(log: Log) -> dict[str, str]:
    """Return the streams that unfinished compactions delete, each with the archive that has it."""
    archives = {
        uuid: compaction.written.archive
        for compaction in compactions(log)
        if compaction.gone is None
        for uuid in compaction.written.sweeps
    }
    if not archives:
        return {}  # the usual case; reading all sweeps takes long
    return {
        stream: archives[sweep.uuid]
        for sweep in sweeps(log)
        if sweep.uuid in archives
        for stream in sweep.streams()
    }


def pending_sweeps(log: Log) -> list[Sweep]:
    """Return the sweeps whose events are in no archive yet, including an interrupted one."""
    archived = {uuid for compaction in compactions(log) for uuid in compaction.written.sweeps}
    return [sweep for sweep in sweeps(log) if sweep.uuid not in archived]
