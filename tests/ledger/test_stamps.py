"""Moments of events that wrong clocks have stamped, against a plain definition."""

from datetime import timedelta
from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.stamps import DISORDER, StampedEvents, fitted

SECOND = 1_000_000
HOUR = 3600 * SECOND
DISORDERED = DISORDER // timedelta(microseconds=1)
NEVER = 10**15
FEW = st.lists(st.integers(0, 7), min_size=1, max_size=6)
MANY = st.lists(st.integers(0, 100_000).map(lambda second: second * SECOND), max_size=60)


def best(stamps: list[int]) -> list[int]:
    """Return the moments of the definition: of all that never go back, the nearest and earliest."""
    every = combinations_with_replacement(sorted(set(stamps)), len(stamps))
    return list(min(every, key=lambda moments: (difference(moments, stamps), moments)))


def difference(moments: tuple[int, ...], stamps: list[int]) -> int:
    return sum(abs(moment - stamp) for moment, stamp in zip(moments, stamps, strict=True))


def dated(stamps: list[int], now: int = NEVER) -> list[int]:
    """Return the moments of events at positions 1, 2, ... with these stamps."""
    events = StampedEvents(enumerate(stamps, start=1))
    return [moment for _, moment in events.dated(events.faults(now))]


@given(FEW)
def test_the_moments_are_those_that_fit_best(stamps: list[int]) -> None:
    assert list(fitted(stamps)) == best(stamps)


@given(MANY)
def test_no_event_is_dated_more_than_a_minute_from_its_moment(stamps: list[int]) -> None:
    """Whatever the stamps are; and moments never go back."""
    moments = dated(stamps)
    assert moments == sorted(moments)
    for moment, fit in zip(moments, fitted(stamps), strict=True):
        assert abs(moment - fit) <= DISORDERED


@given(MANY, st.integers(0, 100_000))
def test_no_event_is_later_than_now(stamps: list[int], now: int) -> None:
    """Unless that is earlier than most: then it is a wrong clock that says so."""
    believed = 2 * sum(stamp > now * SECOND + DISORDERED for stamp in stamps) <= len(stamps)
    for moment in dated(stamps, now * SECOND):
        assert not believed or moment <= now * SECOND + DISORDERED


@given(MANY)
def test_faults_are_in_order_and_apart(stamps: list[int]) -> None:
    faults = StampedEvents(enumerate(stamps, start=1)).faults(NEVER)
    assert all(fault.first <= fault.last for fault in faults)
    assert all(one.last < other.first for one, other in pairwise(faults))


@given(st.lists(st.integers(0, 60), max_size=30))
def test_nodes_that_are_a_minute_apart_make_no_fault(late: list[int]) -> None:
    stamps = [(number - behind) * SECOND for number, behind in enumerate(late)]
    assert StampedEvents(enumerate(stamps, start=1)).faults(NEVER) == []


@pytest.mark.parametrize("hours", [-96, -2, 2, 96])
def test_the_event_of_a_wrong_worker_is_dated_by_those_around_it(hours: int) -> None:
    """To within the time to the next event, 19 s here, whatever the worker's clock showed."""
    right = [number * 19 * SECOND for number in range(1, 2_000)]
    wrong = list(right)
    wrong[700] += hours * HOUR
    errors = [abs(moment - true) for moment, true in zip(dated(wrong), right, strict=True)]
    assert max(errors) <= 19 * SECOND


@pytest.mark.parametrize("hours", [2, 96])
def test_a_clock_that_was_fast_for_a_while_is_forgotten_as_soon(hours: int) -> None:
    """After 500 events as late as the last of as many that follow."""
    right = [number * 1_100_000 for number in range(1, 5_000)]
    wrong = [
        stamp + hours * HOUR if 1_000 <= number < 1_500 else stamp
        for number, stamp in enumerate(right)
    ]
    errors = [abs(moment - true) for moment, true in zip(dated(wrong), right, strict=True)]
    assert max(errors) <= 1_000 * 1_100_000


def test_a_clock_that_was_fast_until_now_is_not_believed() -> None:
    """No event that follows says so, but the time at which that is looked at."""
    stamps = [SECOND * number for number in range(1, 100)] + [96 * HOUR]
    assert dated(stamps, now=100 * SECOND)[-1] == 100 * SECOND
