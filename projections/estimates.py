"""Estimates of how fast jobs progress and when they end, from the reports of workers. Pure.

Everything comes from recorded reports, so that all processes agree. What these do not tell is None:
before anything was measured, once a report is overdue, and while something must still be verified
and nothing has been verified yet.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from ledger.domain.report_intervals import SILENCE_S, silence_allowed_s
from projections.tables import JobRow

MEASURED_S = 1.0
"""How long jobs must have been at work before an estimate makes sense."""
PAUSE_S = 2.0
"""Pauses between two jobs up to this long count as work."""


class Estimate(NamedTuple):
    """The bytes per second and the seconds to the end; None if unknown."""

    bytes_per_s: float | None
    eta_s: float | None


UNKNOWN = Estimate(None, None)


def estimate(leaves: Sequence[JobRow], now: datetime) -> Estimate:
    """Estimate the end of jobs without sub-jobs that are done together, some of them at once."""
    running = [row for row in leaves if row.state == "started"]
    measures = [_Measure.of(row) for row in leaves if row.began is not None]
    at_work = [measure for measure in measures if measure.runs]
    at = now.timestamp()
    if not at_work or any(measure.is_overdue(at) for measure in at_work):
        return UNKNOWN
    newest = max(measure.reported for measure in measures)
    spans = [measure.span(newest) for measure in measures]
    length = _length(spans)
    if length < MEASURED_S:
        return UNKNOWN
    # The average misses attempts that have just begun; the present number misses short gaps.
    at_once = max(sum(end - begin for begin, end in spans) / length, len(at_work))
    costs = _Costs.of(measures)
    needed = costs.needed_s(running)
    verifying = all(measure.copied is not None for measure in at_work)
    cost = costs.verification if verifying else costs.copy
    rate = at_once / cost if cost else None
    if needed is None:
        return Estimate(rate, None)
    left = needed / _at_once_from_now(at_once, len(running)) - (at - newest)
    return Estimate(rate, left if left > 0 else None)


def _at_once_from_now(at_once: float, running: int) -> float:
    """Return how many jobs run at once, on average, until the last one ends.

    Once fewer are left, each may stay as slow as before, or take over the speed of those that
    ended. Take the geometric mean of the two.
    """
    return math.sqrt(at_once * min(at_once, running))


class _Measure(NamedTuple):
    """What the reports of a job's current attempt measured; times are in seconds since 1970."""

    runs: bool
    lost: bool
    began: float
    copied: float | None
    reported: float
    moved: int
    verified: int | None

    @classmethod
    def of(cls, row: JobRow) -> "_Measure":
        assert row.began is not None, "a job without an attempt has measured nothing"
        assert row.reported is not None, "an attempt begins with a report"
        return cls(
            row.state == "started",
            bool(row.worker_lost),
            _seconds(row.began),
            None if row.copied is None else _seconds(row.copied),
            _seconds(row.reported),
            row.bytes_done - row.bytes_before,
            row.bytes_verified,
        )

    @property
    def copy_s(self) -> float:
        return (self.reported if self.copied is None else self.copied) - self.began

    @property
    def verification_s(self) -> float:
        return 0.0 if self.copied is None else self.reported - self.copied

    def is_overdue(self, at: float) -> bool:
        """Return whether the attempt has missed two reports, or is known to be lost."""
        allowed_s = 2 * silence_allowed_s(self.reported - self.began) + SILENCE_S
        return self.lost or at - self.reported > allowed_s

    def span(self, newest: float) -> tuple[float, float]:
        """Return when the job was at work, as of the newest report of any job."""
        return self.began, newest if self.runs else self.reported


class _Costs(NamedTuple):
    """The seconds that one job needs for each byte; None if that was not measured."""

    copy: float | None
    verification: float | None
    verifies: bool

    @classmethod
    def of(cls, measures: Sequence[_Measure]) -> "_Costs":
        moved = sum(measure.moved for measure in measures)
        verified = sum(measure.verified or 0 for measure in measures)
        return cls(
            sum(measure.copy_s for measure in measures if measure.moved) / moved if moved else None,
            sum(measure.verification_s for measure in measures) / verified if verified else None,
            any(measure.verified is not None for measure in measures),
        )

    def needed_s(self, running: Sequence[JobRow]) -> float | None:
        """Return how long it would take to do the rest of these jobs one after the other."""
        copies = verifications = 0
        for row in running:
            if row.bytes_total is None:
                return None
            copies += row.bytes_total - row.bytes_done
            if row.bytes_verified is not None:
                verifications += row.bytes_total - row.bytes_verified
            elif self.verifies and row.reported == row.began:  # its first report will say so
                verifications += row.bytes_total
        if (copies and self.copy is None) or (verifications and self.verification is None):
            return None
        return copies * (self.copy or 0.0) + verifications * (self.verification or 0.0)


def _length(spans: Sequence[tuple[float, float]]) -> float:
    """Return how long any of these spans lasted, short pauses between them included."""
    return sum(end - begin for begin, end in _joined(spans))


def _joined(spans: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    ordered = iter(sorted(spans))
    begin, end = next(ordered)
    for later_begin, later_end in ordered:
        if later_begin > end + PAUSE_S:
            yield begin, end
            begin = later_begin
        end = max(end, later_end)
    yield begin, end


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
