"""Whether the wall clock can be trusted when jobs are discarded for ever. Pure.

The wall clock is compared with the time since the machine was booted, which cannot be set. A
difference of more than an hour means that the clock was set, and that ages are not what they seem;
then a sweep waits until an operator confirms that the time is right.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

TOLERATED = timedelta(hours=1)
OFF_AT_MOST = timedelta(days=30)
"""If a machine seems to have been off for longer, its clock is more likely wrong."""


class Reading(NamedTuple):
    """What the clocks show; `since_boot` counts from the boot named `boot`."""

    boot: str
    wall: datetime
    since_boot: timedelta


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
    direction = "back" if by < timedelta(0) else "forward"
    return (
        f"the wall clock was set {direction} by {timedelta(seconds=round(abs(by).total_seconds()))}"
    )
