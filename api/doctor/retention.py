"""Checks of retention: jobs that are overdue, and archives that are damaged."""

from collections.abc import Iterable
from datetime import timedelta

from api.doctor.subject import Subject
from ledger.archives import Shelf
from ledger.domain.clock_trust import WRONG, behind_text, moved_text, offset_text
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.status import Due, lost_beginnings, wrong_archives

NAMED_MAX = 10
"""Streams without a beginning that are named."""
OVERDUE = timedelta(hours=3)
"""Hourly sweeps have missed what has been due for so long."""


def clocks(subject: Subject) -> Iterable[str]:
    """Look at the store's clock, and at this machine's."""
    status, offset = subject.retention, subject.reading.offset
    if status is not None and status.clock_moved is not None:
        yield (
            f"{moved_text(status.clock_moved)}: nothing is discarded until"
            " `job-ledger retention confirm-clock` says that it is right"
        )
    if status is not None and status.clock_behind is not None:
        yield behind_text(status.clock_behind)
    if abs(offset) >= WRONG:
        yield f"{offset_text(offset)}: one of them is wrong; events are stamped by the database's"


def late_sweeps(subject: Subject) -> Iterable[str]:
    """Look only where a service should keep up; a clock that is not trusted is another check."""
    status = subject.retention
    if not subject.runs or status is None or status.distrust is not None:
        return
    late = Due(status.next_due, status.since).overdue(subject.reading.wall)
    if late > OVERDUE:
        due = subject.reading.wall - late
        yield f"jobs have been due since {due:%Y-%m-%d %H:%M} UTC and are still there"


def tails(subject: Subject) -> Iterable[str]:
    """Find streams without a beginning; the status names those that a compaction is deleting."""
    with subject.database.log() as log:
        lost = lost_beginnings(log)
    if lost:
        yield (
            f"{len(lost)} streams have lost their first event, and count as gone:"
            f" {', '.join(lost[:NAMED_MAX])}; `job-ledger audit replay` says what is missing"
        )


def parked(subject: Subject) -> Iterable[str]:
    for parking in subject.retention.parked if subject.retention else ():
        if parking.handling == "parked":
            yield f"{parking.stream} is parked by the {parking.reader}: {parking.reason}"


def archives(subject: Subject) -> Iterable[str]:
    """Look at the archives that the ledger names, if its status can be read."""
    if subject.retention is None:
        return
    with subject.database.log() as log:
        yield from wrong_archives(log, Shelf(subject.data / ARCHIVES))
