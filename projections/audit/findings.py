"""What an audit finds."""

from collections.abc import Callable
from typing import NamedTuple

from ledger.domain.aggregates import Aggregate
from ledger.domain.errors import Expected
from ledger.store.seam import LoggedEvent

Report = Callable[[int, int], None]
"""Told how many of how many events are replayed."""


class CannotReplay(Expected):
    """The ledger, or what shows it, is not one that this program can read."""


class Divergence(NamedTuple):
    """The first place where the record, or what is shown of it, is not as it must be."""

    position: int
    stream: str
    event: str
    reason: str


class Replay(NamedTuple):
    """A replay; sound if there is no divergence. `streams` are those that are not discarded."""

    events: int
    streams: int
    position: int
    divergence: Divergence | None


class Held(NamedTuple):
    """A stream as far as it is replayed, and its newest event."""

    version: int
    state: Aggregate | None
    last: LoggedEvent


def divergence_at(event: LoggedEvent, reason: str) -> Divergence:
    """A divergence of this event."""
    return Divergence(event.position, event.stream, event.topic, reason)
