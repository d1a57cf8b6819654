"""Whether the wall clock can be trusted with what is discarded for ever. Pure.

The wall clock is compared with the time since the machine was booted, which nobody sets. A
difference of more than an hour means that somebody set the clock, and that ages are not what they
seem; then a sweep waits until somebody has said that the time is right.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

TOLERATED = timedelta(hours=1)
OFF_AT_MOST = timedelta(days=30)
"""A machine that seems to have been off for longer may as well have a clock that is wrong."""


class Reading(NamedTuple):
    """What the clocks show; `since_boot` counts from the boot that `boot` names."""

    boot: str
    wall: datetime
    since_boot: timedelta


class Watched(NamedTuple):
    """The wall time at which this boot began, as it was first believed, and the newest seen."""

    boot: str
    booted: datetime
    seen: datetime


def watch(reading: Reading, before: Watched | None = None) -> Watched:
    """What is believed of a reading that is right."""
    if before is None or before.boot != reading.boot:
        return Watched(reading.boot, reading.wall - reading.since_boot, reading.wall)
    return before._replace(seen=max(before.seen, reading.wall))


def moved(watched: Watched, reading: Reading) -> timedelta | None:
    """By how much the wall clock was moved, if it is more than is tolerated.

    After another boot only a clock that went back can be told, or one that is far ahead.
    """
    if watched.boot == reading.boot:
        by = reading.wall - reading.since_boot - watched.booted
    else:
        by = reading.wall - watched.seen
        if timedelta(0) < by <= OFF_AT_MOST:
            return None
    return by if abs(by) > TOLERATED else None


def moved_text(by: timedelta) -> str:
    """Says so."""
    direction = "back" if by < timedelta(0) else "forward"
    return (
        f"the wall clock was set {direction} by {timedelta(seconds=round(abs(by).total_seconds()))}"
    )
