"""What an attempt last said of itself, as its lease has it: no event, and so with its words."""

from datetime import datetime

import msgspec
from msgspec import Struct

from ledger.domain.events.producers import ProgressReported
from ledger.domain.producers.leases import Lease


class Figures(Struct, frozen=True, gc=False):
    """The newest report, in per cent as it is shown, and its message in words."""

    report: ProgressReported
    message: str | None = None


class Waiting(Struct, frozen=True, gc=False):
    """For what an attempt waits since when, and until when no beat is expected of it."""

    reason: str
    until: datetime
    since: datetime


encode = msgspec.json.encode
_figures = msgspec.json.Decoder(Figures)
_waiting = msgspec.json.Decoder(Waiting)


def figures_of(lease: Lease) -> Figures | None:
    return None if lease.figures is None else _figures.decode(lease.figures)


def waiting_of(lease: Lease) -> Waiting | None:
    return None if lease.waiting is None else _waiting.decode(lease.waiting)


def last_report(lease: Lease) -> ProgressReported | None:
    """Return the newest report; its words are not for the record."""
    figures = figures_of(lease)
    return None if figures is None else figures.report
