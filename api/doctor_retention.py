"""The doctor's look at retention: what stays that should not, and archives that are not right."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ledger.archives import Shelf
from ledger.clock_watch import Reading, moved_text
from ledger.store.sqlite import open_log
from projections.retention.compacting import ARCHIVES
from projections.retention.standing import Standing, standing_of, wrong_archives

OVERDUE = timedelta(hours=3)
"""What has been due for so long was missed by sweeps that come every hour."""


class RetentionFound(NamedTuple):
    """How retention stands, and what is wrong with it."""

    standing: Standing
    problems: list[str]


def examine_retention(file: Path, reading: Reading, *, runs: bool) -> RetentionFound:
    """Looks at the ledger in this file and at its archives; `runs`: a service keeps up with it.

    Raises `UnknownEvent` for an act that cannot be read.
    """
    shelf = Shelf(file.parent / ARCHIVES)
    with open_log(file) as log:
        standing = standing_of(log, shelf, reading.wall, reading)
        problems = [*_problems(standing, reading.wall, runs=runs), *wrong_archives(log, shelf)]
    return RetentionFound(standing, problems)


def _problems(standing: Standing, now: datetime, *, runs: bool) -> Iterable[str]:
    if standing.clock_moved is not None:
        yield (
            f"{moved_text(standing.clock_moved)}: nothing is discarded until"
            " `job-ledger retention confirm-clock` says that it is right"
        )
    elif runs and standing.next_due is not None and now - standing.next_due > OVERDUE:
        yield f"jobs have been due since {standing.next_due:%Y-%m-%d %H:%M} UTC and are still there"
    for parking in standing.parked:
        if parking.handling == "parked":
            yield f"{parking.stream} is parked by the {parking.reader}: {parking.reason}"


def unfinished_archives(data: Path) -> Iterable[str]:
    """What a crash left of writing archives; the next one that is written removes it."""
    for part in Shelf(data / ARCHIVES).unfinished():
        yield f"archive {part} was not finished; the next `job-ledger retention run` removes it"
