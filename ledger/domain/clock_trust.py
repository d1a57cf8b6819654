"""Whether the store's clock can be trusted when jobs are discarded for ever. Pure.

It is compared with the time since the machine was booted, which cannot be set. A difference of more
than an hour means that the clock was set, and that ages are not what they seem; then a sweep waits
until an operator confirms that the time is right. It is also compared with the newest stamp: while
it is behind that, time stands still, and a sweep waits until it has caught up.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ledger.domain.stamps import DISORDER

TOLERATED = timedelta(hours=1)
OFF_AT_MOST = timedelta(days=30)
"""If a machine seems to have been off for longer, its clock is more likely wrong."""
NOTICED = timedelta(seconds=1)
WRONG = timedelta(seconds=60)
"""From when on a machine's clock that differs from the store's is logged, and is wrong."""


class Reading(NamedTuple):
    """What the clocks show.

    `wall` is the store's clock; `since_boot` counts from the boot named `boot`. `newest` is the
    newest stamp, and `offset` by how much at least the machine's clock is ahead of the store's.
    """

    boot: str
    wall: datetime
    since_boot: timedelta
    newest: datetime = datetime.min.replace(tzinfo=UTC)
    offset: timedelta = timedelta(0)


class Watched(NamedTuple):
    """The wall time at which this boot began, as first read, and the newest wall time seen."""

    boot: str
    booted: datetime
    seen: datetime


def watch(reading: Reading, before: Watched | None = None) -> Watched:
    """Return what to remember of a trusted reading."""
    if before is None or before.boot != reading.boot:
        return Watched(reading.boot, reading.wall - reading.since_boot, reading.wall)
    return before._replace(seen=max(before.seen, reading.wall))


def moved(watched: Watched, reading: Reading) -> timedelta | None:
    """Return by how much the wall clock was moved, if that is more than tolerated.

    After another boot only a clock that went back, or is far ahead, can be detected.
    """
    if watched.boot == reading.boot:
        by = reading.wall - reading.since_boot - watched.booted
    else:
        by = reading.wall - watched.seen
        if timedelta(0) < by <= OFF_AT_MOST:
            return None
    return by if abs(by) > TOLERATED else None


def moved_text(by: timedelta) -> str:
    """Return a sentence about it."""
    return f"the wall clock was set {'back' if by < timedelta(0) else 'forward'} by {_length(by)}"


def behind(reading: Reading) -> timedelta | None:
    """Return by how much the store's clock is behind the newest stamp, if that is noticeable."""
    by = reading.newest - reading.wall
    return by if by > DISORDER else None


def behind_text(by: timedelta) -> str:
    return (
        f"the clock is {_length(by)} behind the newest event: new events get its time,"
        " and nothing is discarded, until the clock has caught up"
    )


def offset_text(offset: timedelta) -> str:
    direction = "ahead of" if offset > timedelta(0) else "behind"
    return f"the clock of this machine is {_length(offset)} {direction} the database's"


def _length(by: timedelta) -> str:
    return str(timedelta(seconds=round(abs(by).total_seconds())))
