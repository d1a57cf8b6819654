"""The timestamps of events: those of one process always grow."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ledger.store.writer import Clock
from tests.support.world import START

MICROSECOND = timedelta(microseconds=1)


def stamps(*seconds: float) -> list[datetime]:
    """What the clock says while the wall clock says this."""
    said = iter([START + timedelta(seconds=second) for second in seconds])
    clock = Clock(lambda: next(said))
    return [clock.stamp() for _ in seconds]


def test_the_wall_clock_is_followed() -> None:
    """While it goes forward."""
    assert [START, START + timedelta(seconds=1.5)] == stamps(0, 1.5)


def test_timestamps_grow_while_the_clock_stands_still() -> None:
    """By a microsecond at a time."""
    assert stamps(0, 0, 0) == [START, START + MICROSECOND, START + 2 * MICROSECOND]


def test_timestamps_grow_until_a_clock_set_back_a_little_catches_up() -> None:
    """For less than a second stamps creep on from the last one."""
    assert [START, START + MICROSECOND, START + timedelta(seconds=0.5)] == stamps(0, -0.9, 0.5)


def test_a_clock_that_is_set_back_a_lot_is_followed() -> None:
    """Time that was wrong is not kept up, and grows from where it is now."""
    hour_ago = START - timedelta(hours=1)
    assert [START, hour_ago, hour_ago + MICROSECOND] == stamps(0, -3600, -3600)


@given(st.lists(st.integers(0, 999_999), min_size=2))
def test_timestamps_grow_while_the_clock_jitters(micros: list[int]) -> None:
    """Whatever a wall clock does within a second, no two stamps are equal or in the wrong order."""
    said = stamps(*(micro / 1_000_000 for micro in micros))
    assert all(earlier < later for earlier, later in pairwise(said))


@given(st.lists(st.integers(-10_000_000, 10_000_000), min_size=2))
def test_consecutive_timestamps_are_never_equal(micros: list[int]) -> None:
    """Also when the clock is set back."""
    said = stamps(*(micro / 1_000 for micro in micros))
    assert all(earlier != later for earlier, later in pairwise(said))
