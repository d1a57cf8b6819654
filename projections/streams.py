"""The rows that show a stream, and those that tell of its events, from its history alone."""

from collections.abc import Iterable, Sequence

from ledger.acts import Sweep
from ledger.aggregate import Aggregate, fold
from ledger.codec import decode
from ledger.events import Event, Recorded
from ledger.store.seam import Log, Rows
from projections.audit_log import TELLING, entries
from projections.rows import rows


def rows_of_history(stream: str, history: Sequence[Recorded[Event]]) -> Rows:
    """All rows that come of these events of a stream."""
    state = fold(stream, history)
    if state is None:
        return {}
    shown = dict(rows(state))
    for version, recorded in enumerate(history, 1):
        if type(recorded.event) in TELLING:
            shown |= entries(stream, version, recorded, state.owner)
    return shown


def folded(log: Log, stream: str) -> Aggregate | None:
    """The aggregate of a stream as of this log."""
    return fold(stream, (decode(topic, stored) for _, topic, stored in log.stream(stream)))


def sweeps(log: Log) -> list[Sweep]:
    """All sweeps that are in the store, oldest first."""
    states = [folded(log, stream) for stream in log.streams_of("sweep")]
    found = [state for state in states if isinstance(state, Sweep)]
    return sorted(found, key=lambda sweep: sweep.last_modified)


def discarded_streams(swept: Iterable[Sweep]) -> set[str]:
    """The streams that are shown no more, although their events may still be in the store."""
    return {stream for sweep in swept for stream in sweep.streams()}
