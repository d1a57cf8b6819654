"""What is shown of a producer's progress, and which reports become events.

A report says how things stand, not what was added, and is stored as it was said. Only what is shown
is brought into order.
"""

from datetime import timedelta
from fractions import Fraction

from ledger.domain.events.producers import ProgressReported

MOST = 2**53 - 1
"""The largest number that every JSON reader reads exactly."""
NEARLY = 99
"""In per cent. Only a success is complete."""
SOONEST = timedelta(seconds=1)
STALEST = timedelta(minutes=1)
SLOWEST = timedelta(minutes=10)
EVENTS_MOST = 1_000
"""Reports of an attempt that become events one by one; after these, one in ten minutes does."""
TOTAL_CHANGES = Fraction(1, 10)


def clamped(figure: float) -> int:
    """Return a figure without its fraction, from 0 to `MOST`; one that is not a number is 0."""
    if figure != figure or figure < 0:  # noqa: PLR0124 - only NaN differs from itself
        return 0
    return int(min(figure, MOST))


def percent(report: ProgressReported, shown: int | None) -> int | None:
    """Return what a report says in per cent, from 0 to 99; None if that cannot be known.

    `shown` is what this attempt has shown so far. Only with an exact total does it never go down.
    """
    done = _share_done(report)
    if done is None:
        return None
    said = min(NEARLY, max(0, int(done * 100)))
    return max(said, shown or 0) if report.total_is == "exact" else said


def _share_done(report: ProgressReported) -> Fraction | None:
    """Return which share of the job is done, by its phases if these are counted."""
    share, phase = _share_of_total(report), report.phase
    if phase is None or phase.n is None or not phase.of:
        return share
    before = max(phase.n - 1, 0)
    return min((before + (share or Fraction(0))) / phase.of, Fraction(1))


def _share_of_total(report: ProgressReported) -> Fraction | None:
    done, total = report.done, report.total
    if done is None or not total or (report.total_is == "growing" and done >= total):
        return None
    return min(Fraction(done, total), Fraction(1))


def becomes_event(
    report: ProgressReported, recorded: ProgressReported | None, since: timedelta, count: int
) -> bool:
    """Return whether a report is worth an event.

    `recorded` is the last report of the attempt that was, `since` the time since then, or since the
    attempt began, and `count` how many there were. What is not worth one is shown all the same,
    until the next report replaces it.
    """
    if since < SOONEST:
        return False
    if count >= EVENTS_MOST:
        return since >= SLOWEST
    return (
        recorded is None
        or report.percent != recorded.percent
        or report.phase != recorded.phase
        or _total_changed(report.total, recorded.total)
        or (since >= STALEST and report.done != recorded.done)
    )


def _total_changed(total: int | None, before: int | None) -> bool:
    """Return whether a total came, went, or is another by more than a tenth."""
    if total is None or before is None:
        return total is not before
    return abs(total - before) > before * TOTAL_CHANGES
