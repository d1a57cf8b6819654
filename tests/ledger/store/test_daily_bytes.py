"""How much was recorded for whom in the last day."""

from ledger.store.writer.daily_bytes import HOUR_S, HOURS, DailyBytes


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_day_counts_and_no_more() -> None:
    """What is older counts no more, hour by hour; others are counted apart."""
    clock = Clock()
    recorded = DailyBytes(clock)
    for _ in range(HOURS):
        recorded.add("me", 10)
        recorded.add("me", 5)
        clock.now_s += HOUR_S
    assert recorded.of("me") == HOURS * 15
    assert recorded.of("you") == 0
    clock.now_s += HOUR_S
    assert recorded.of("me") == (HOURS - 1) * 15
    assert recorded.of_all() == {"me": (HOURS - 1) * 15}
    clock.now_s += HOURS * HOUR_S
    assert recorded.of_all() == {}
    assert recorded.of("me") == 0
