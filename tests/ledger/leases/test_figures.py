"""How fast an attempt is, by what it said of itself."""

from datetime import timedelta

from ledger.domain.events.producers import ProgressReported, TotalIs
from ledger.leases.figures import Figures, Pace, figures_after, pace_of
from tests.support.world import START


def said(
    done: int | None, at_s: float, *, unit: str = "byte", total_is: TotalIs = "exact"
) -> ProgressReported:
    at = START + timedelta(seconds=at_s)
    return ProgressReported(1, at, done, 100, unit=unit, total_is=total_is)


def after(*reports: ProgressReported) -> Pace:
    figures: Figures | None = None
    for report in reports:
        figures = figures_after(figures, report, None)
    assert figures is not None
    return pace_of(figures)


def test_it_is_the_mean_since_the_first_report() -> None:
    """What was done before that, in an earlier attempt, does not count."""
    assert after(said(20, 0), said(25, 5), said(60, 10)) == Pace(4, 10)


def test_what_reports_do_not_tell_is_unknown() -> None:
    """At the beginning, without any progress, and while the total grows."""
    assert after(said(20, 0)) == Pace()
    assert after(said(20, 0), said(60, 0.5)) == Pace()
    assert after(said(20, 0), said(20, 10)) == Pace()
    assert after(said(None, 0), said(None, 10)) == Pace()
    assert after(said(20, 0), said(60, 10, total_is="growing")) == Pace(4)


def test_who_begins_anew_is_measured_anew() -> None:
    """With less than at first, or in another unit."""
    assert after(said(20, 0), said(60, 10), said(0, 20), said(10, 30)) == Pace(1, 90)
    items = said(10, 20, unit="item"), said(20, 30, unit="item")
    assert after(said(0, 0), *items) == Pace(1, 80)
