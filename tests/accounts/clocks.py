"""Clocks that stand still until a test moves them."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Seconds from some moment on."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


class Wall:
    """The date and the time of day; `clock`, if there is one, goes along."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.at = datetime(2026, 4, 17, 8, 15, 30, 500_000, tzinfo=UTC)
        self._clock = clock

    def __call__(self) -> datetime:
        return self.at

    def move(self, by: timedelta) -> None:
        self.at += by
        if self._clock is not None:
            self._clock.s += by.total_seconds()
