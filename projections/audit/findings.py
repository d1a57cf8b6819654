"""Findings of an audit."""

from collections.abc import Callable
from typing import NamedTuple

from ledger.domain.aggregates import Aggregate
from ledger.domain.errors import Expected
from ledger.store.seam import LoggedEvent

Report = Callable[[int, int], None]
"""Is called with how many events are replayed, and how many there are."""


class CannotReplay(Expected):
    """The ledger or its read models cannot be read by this program."""


class Divergence(NamedTuple):
    """The first place where the record, or a read model of it, is wrong."""

    position: int
    stream: str
    event: str
    reason: str


class Replay(NamedTuple):
    """A replay; sound without a divergence. `streams` counts those that are not discarded."""

    events: int
    streams: int
    position: int
    divergence: Divergence | None


class StreamState(NamedTuple):
    """A stream as far as it is replayed, with its newest event."""

    version: int
    state: Aggregate | None
    last: LoggedEvent


def divergence_at(event: LoggedEvent, reason: str) -> Divergence:
    return Divergence(event.position, event.stream, event.topic, reason)
