"""What is shown of a producer's progress, and which reports become events."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.events.producers import Phase, ProgressReported
from ledger.domain.producers.progress import (
    EVENTS_MOST,
    MOST,
    NEARLY,
    becomes_event,
    clamped,
    percent,
)
from tests.support.world import START

FIGURES = st.integers(0, MOST)
PHASES = st.builds(
    Phase, st.just("p"), st.none() | st.integers(-1, 9), st.none() | st.integers(-1, 9)
)
REPORTS = st.builds(
    ProgressReported,
    st.just(1),
    st.just(START),
    st.none() | FIGURES,
    st.none() | FIGURES,
    st.just("item"),
    st.sampled_from(["exact", "estimate", "growing"]),
    phase=st.none() | PHASES,
)


def report(done: int | None = 0, total: int | None = 100, **more: object) -> ProgressReported:
    return ProgressReported(1, START, done, total, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (0, 0),
        (7.9, 7),
        (-1, 0),
        (MOST, MOST),
        (MOST + 1, MOST),
        (1e300, MOST),
        (float("inf"), MOST),
        (float("-inf"), 0),
        (float("nan"), 0),
    ],
)
def test_figures_are_brought_inside_their_bounds(said: float, stored: int) -> None:
    assert clamped(said) == stored


@pytest.mark.parametrize(
    ("said", "shown", "expected"),
    [
        (report(0), None, 0),
        (report(50), None, 50),
        (report(100), None, NEARLY),
        (report(500), None, NEARLY),
        (report(30), 40, 40),
        (report(30, total_is="estimate"), 40, 30),
        (report(30, total_is="growing"), 40, 30),
        (report(100, total_is="growing"), 40, None),
        (report(30, None), 40, None),
        (report(None), 40, None),
        (report(None, phase=Phase("b", 2, 4)), None, 25),
        (report(0, 0), None, None),
        (report(50, phase=Phase("b", 2, 4)), None, 37),
        (report(0, None, phase=Phase("b", 2, 4)), None, 25),
        (report(100, phase=Phase("d", 4, 4)), None, NEARLY),
        (report(50, phase=Phase("b", 9, 4)), None, NEARLY),
        (report(50, phase=Phase("b", 2, 0)), None, 50),
        (report(50, phase=Phase("b", 2)), None, 50),
    ],
)
def test_what_is_shown_in_per_cent(
    said: ProgressReported, shown: int | None, expected: int | None
) -> None:
    """Only a success is complete, and with an exact total nothing goes down."""
    assert percent(said, shown) == expected


@given(REPORTS, st.none() | st.integers(0, NEARLY))
def test_per_cent_are_within_bounds(said: ProgressReported, shown: int | None) -> None:
    """Whatever was said."""
    found = percent(said, shown)
    assert found is None or 0 <= found <= NEARLY
    if found is not None and shown is not None and said.total_is == "exact":
        assert found >= shown


SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("said", "before", "since", "expected"),
    [
        (report(1), None, SECOND, True),
        (report(1), None, SECOND / 2, False),
        (report(2, percent=2), report(1, percent=1), SECOND, True),
        (report(2, percent=2), report(1, percent=1), SECOND / 2, False),
        (report(2), report(1), MINUTE - SECOND, False),
        (report(2), report(1), MINUTE, True),
        (report(1), report(1), 60 * MINUTE, False),
        (report(1, phase=Phase("b")), report(1, phase=Phase("a")), SECOND, True),
        (report(1, 110), report(1, 100), SECOND, False),
        (report(1, 111), report(1, 100), SECOND, True),
        (report(1, None), report(1, 100), SECOND, True),
        (report(1, 100), report(1, None), SECOND, True),
    ],
)
def test_which_reports_become_events(
    said: ProgressReported, before: ProgressReported | None, since: timedelta, *, expected: bool
) -> None:
    """Those that say something new, at most one a second."""
    assert becomes_event(said, before, since, 1) == expected


@pytest.mark.parametrize(("since", "expected"), [(9 * MINUTE, False), (10 * MINUTE, True)])
def test_an_attempt_has_so_many_events(since: timedelta, *, expected: bool) -> None:
    """After that only one in ten minutes."""
    assert becomes_event(report(2, percent=2), report(1), since, EVENTS_MOST) == expected
