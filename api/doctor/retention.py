"""The doctor's look at retention: what stays that should not, and archives that are not right."""

from collections.abc import Iterable
from datetime import timedelta

from api.doctor.subject import Subject
from ledger.archives import Shelf
from ledger.domain.clock_trust import moved_text
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.status import Due, wrong_archives

OVERDUE = timedelta(hours=3)
"""What has been due for so long was missed by sweeps that come every hour."""


def wall_clock(subject: Subject) -> Iterable[str]:
    if subject.standing is not None and subject.standing.clock_moved is not None:
        yield (
            f"{moved_text(subject.standing.clock_moved)}: nothing is discarded until"
            " `job-ledger retention confirm-clock` says that it is right"
        )


def late_sweeps(subject: Subject) -> Iterable[str]:
    """Where a service should keep up with it; a clock that is not trusted is another matter."""
    standing = subject.standing
    if not subject.runs or standing is None or standing.clock_moved is not None:
        return
    late = Due(standing.next_due, standing.since).overdue(subject.reading.wall)
    if late > OVERDUE:
        due = subject.reading.wall - late
        yield f"jobs have been due since {due:%Y-%m-%d %H:%M} UTC and are still there"


def parked(subject: Subject) -> Iterable[str]:
    for parking in subject.standing.parked if subject.standing else ():
        if parking.handling == "parked":
            yield f"{parking.stream} is parked by the {parking.reader}: {parking.reason}"


def archives(subject: Subject) -> Iterable[str]:
    """Those that the ledger names; where its acts cannot be read, that is said already."""
    if subject.standing is None:
        return
    with subject.database.log() as log:
        yield from wrong_archives(log, Shelf(subject.data / ARCHIVES))
