"""Stamps of events, and those among them that a wrong clock made. Pure.

Earlier versions stamped events with the clock of whichever machine recorded them. To date such
events, moments are fitted to the stamps: of all moments that never go back from one event to the
next, those that differ least from the stamps in all, and the earliest of them. So a few wrong
stamps among many right ones count for nothing. No moment is later than the time at which this is
done. A stamp that is more than `DISORDER` away from its moment is a fault.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappush, heapreplace
from typing import NamedTuple

DISORDER = timedelta(seconds=60)
"""How far the stamps of nodes that record at the same time may be out of order."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_DISORDER = DISORDER // MICROSECOND


def microseconds(moment: datetime) -> int:
    """Return a moment as the tables of the store hold it."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(stamp: int) -> datetime:
    return EPOCH + stamp * MICROSECOND


class Fault(NamedTuple):
    """Events from one position to another whose stamps do not count: all are of this moment."""

    first: int
    last: int
    moment: int


class StampedEvents:
    """Positions and stamps of events, in the order in which they were recorded."""

    def __init__(self, events: Iterable[tuple[int, int]] = ()) -> None:
        self.positions = array("q")
        self.stamps = array("q")
        self.latest = 0
        self._disordered = False
        for position, stamp in events:
            self.add(position, stamp)

    def add(self, position: int, stamp: int) -> None:
        self.positions.append(position)
        self.stamps.append(stamp)
        self._disordered = self._disordered or stamp < self.latest - _DISORDER
        self.latest = max(self.latest, stamp)

    def faults(self, now: int) -> list[Fault]:
        """Return the faults, in order, at this time; those of one minute are one.

        A time that is earlier than most stamps is itself wrong, and is not believed.
        """
        early = sum(stamp > now + _DISORDER for stamp in self.stamps)
        if not early and not self._disordered:
            return []
        end = now if 2 * early <= len(self.stamps) else self.latest
        found: list[Fault] = []
        begun = 0
        for position, stamp, fit in zip(
            self.positions, self.stamps, fitted(self.stamps), strict=True
        ):
            moment = min(fit, end)
            if abs(stamp - moment) <= _DISORDER:
                continue
            if found and (moment <= begun + _DISORDER or position == found[-1].last):
                found[-1] = Fault(found[-1].first, position, moment)
            else:
                found.append(Fault(position, position, moment))
                begun = moment
        return found

    def dated(self, faults: Iterable[Fault]) -> Iterator[tuple[int, int]]:
        """Yield each position with the latest moment up to it, given all faults."""
        dating = Dating(faults)
        latest = 0
        for position, stamp in zip(self.positions, self.stamps, strict=True):
            latest = max(latest, dating.moment(position, stamp))
            yield position, latest


class Dating:
    """The moments of events, given the faults in the order of their positions."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = list(faults)
        self._firsts = [fault.first for fault in self._faults]

    def moment(self, position: int, stamp: int) -> int:
        """Return the event's stamp, or its moment if that is a fault."""
        before = bisect_right(self._firsts, position)
        if before and position <= self._faults[before - 1].last:
            return self._faults[before - 1].moment
        return stamp


def fitted(stamps: Iterable[int]) -> "array[int]":
    """Return the moments that fit these stamps.

    The heap holds what each stamp may still be lowered to. A stamp that is below an earlier one
    lowers the highest of them to itself, which costs no more than raising the stamp to it. What is
    highest then is the earliest moment that fits best so far; later stamps can only lower it.
    """
    lowered: list[int] = []  # negated: the heap's first is the highest
    moments = array("q")
    for stamp in stamps:
        heappush(lowered, -stamp)
        if -lowered[0] > stamp:
            heapreplace(lowered, -stamp)
        moments.append(-lowered[0])
    for at in range(len(moments) - 2, -1, -1):
        moments[at] = min(moments[at], moments[at + 1])
    return moments
