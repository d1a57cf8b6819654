"""What a process counts of its own work, for whoever watches it; written by one thread each."""

from bisect import bisect_left
from collections import Counter
from itertools import accumulate

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what should take a moment."""
COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Distribution:
    """How values are spread: how many lie up to each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def note(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def up_to(self) -> list[tuple[float, int]]:
        """How many values lie up to each bound; the last one is infinity."""
        return list(zip((*self.bounds, float("inf")), accumulate(self._counts), strict=True))


class Meter:
    """What the writer does; `commands` by name and outcome: `recorded`, or the refusal's name."""

    def __init__(self) -> None:
        self.commands: Counter[tuple[str, str]] = Counter()
        self.batch_commands = Distribution(COMMANDS)
        self.commit_s = Distribution(SECONDS)
