"""How many bytes of events this process has recorded for each actor in a day.

It counts by the hour, so a day may be up to an hour longer. It knows neither what other processes
record nor what was recorded before this one started.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

HOUR_S = 3600.0
HOURS = 24


class _Hour(NamedTuple):
    began: int
    size: int


class DailyBytes:
    """Counts what is recorded, by its actor. For the writer's thread, but for `of_all`."""

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._actors: dict[str, deque[_Hour]] = {}

    def add(self, actor: str, size: int) -> None:
        """Count what was recorded just now."""
        now = self._hour()
        hours = self._actors.setdefault(actor, deque())
        if hours and hours[-1].began == now:
            size += hours.pop().size
        hours.append(_Hour(now, size))

    def of(self, actor: str) -> int:
        """Return how many bytes were recorded for this actor in the last day."""
        hours = self._actors.get(actor)
        if hours is None:
            return 0
        while hours and hours[0].began < self._hour() - HOURS:
            hours.popleft()
        if not hours:
            del self._actors[actor]
        return sum(hour.size for hour in hours)

    def of_all(self) -> dict[str, int]:
        """Return the same for all actors. In any thread."""
        since = self._hour() - HOURS
        sizes = {
            actor: sum(hour.size for hour in tuple(hours) if hour.began >= since)
            for actor, hours in tuple(self._actors.items())
        }
        return {actor: size for actor, size in sizes.items() if size}

    def _hour(self) -> int:
        return int(self._elapsed_s() // HOUR_S)
