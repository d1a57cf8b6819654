"""The last figures and words of an attempt, kept with its lease and not as an event."""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events.producers import ProgressReported
from ledger.domain.producers.leases import Lease

SHORTEST = timedelta(seconds=1)
"""A pace is measured over no less."""


class Figures(Struct, frozen=True, gc=False):
    """The newest report, in per cent as it is shown, and its message in words.

    `first_done` is how much was done at `first_at`, when the attempt first said so.
    """

    report: ProgressReported
    message: str | None = None
    first_at: datetime | None = None
    first_done: int | None = None


class Pace(NamedTuple):
    """How much is done in a second, and how long what is left takes, as far as that can be told."""

    rate_per_s: float | None = None
    left_s: float | None = None


class Waiting(Struct, frozen=True, gc=False):
    """For what an attempt waits since when, and until when no beat is expected of it."""

    reason: str
    until: datetime
    since: datetime


encode = msgspec.json.encode
_figures = msgspec.json.Decoder(Figures)
_waiting = msgspec.json.Decoder(Waiting)


def figures_after(before: Figures | None, report: ProgressReported, message: str | None) -> Figures:
    """Return the figures after one more report; whoever begins anew is measured anew."""
    said = Figures(report, message, report.happened_at, report.done)
    if before is None or before.first_done is None or report.done is None:
        return said
    if report.done < before.first_done or report.unit != before.report.unit:
        return said
    return replace(said, first_at=before.first_at, first_done=before.first_done)


def pace_of(figures: Figures) -> Pace:
    """Return the mean pace since the attempt first said how far it is."""
    report, first_at, first_done = figures.report, figures.first_at, figures.first_done
    if report.done is None or first_at is None or first_done is None:
        return Pace()
    took = report.happened_at - first_at
    if took < SHORTEST or report.done == first_done:
        return Pace()
    rate = (report.done - first_done) / took.total_seconds()
    if report.total is None or report.total_is == "growing" or report.total < report.done:
        return Pace(rate)
    return Pace(rate, (report.total - report.done) / rate)


def figures_of(lease: Lease) -> Figures | None:
    return None if lease.figures is None else _figures.decode(lease.figures)


def waiting_of(lease: Lease) -> Waiting | None:
    return None if lease.waiting is None else _waiting.decode(lease.waiting)


def last_report(lease: Lease) -> ProgressReported | None:
    """Return the newest report; its words are not for the record."""
    figures = figures_of(lease)
    return None if figures is None else figures.report


def newest(one: Figures | None, other: Figures | None) -> Figures | None:
    """Return the figures that came last, of what two processes know of an attempt."""
    if one is None or other is None:
        return other or one
    return one if is_before(other.report, one.report) else other


def is_before(one: ProgressReported, other: ProgressReported) -> bool:
    """Return whether an attempt has said this before the other; its numbers tell, if it counts."""
    if one.seq is not None and other.seq is not None:
        return one.seq < other.seq
    return one.happened_at < other.happened_at
