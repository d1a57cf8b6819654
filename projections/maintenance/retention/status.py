"""How retention stands: the policy, what is due next, what waits, what is wrong. Reads only."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from ledger.archives import BadArchive, Shelf
from ledger.domain.aggregates.housekeeping import Parking, Policy, Sweep
from ledger.domain.clock_trust import Reading, moved
from ledger.store.seam import Log
from ledger.store.tables import clock_watch
from projections.streams import (
    compactions,
    discarded_streams,
    parkings,
    pending_sweeps,
    policy_of,
    sweeps,
)
from projections.views.retention import first_end


class SweepSummary(Struct, frozen=True):
    """What was discarded by a sweep, or by several, the newest of them at that time."""

    at: datetime
    trees: int
    jobs: int
    streams: int


class ArchiveSummary(Struct, frozen=True):
    """An archive as the directory has it."""

    name: str
    bytes: int


class Due(NamedTuple):
    """When the next tree is due, if any has ended, and since when the policy holds that says so."""

    at: datetime | None
    since: datetime | None

    def overdue(self, now: datetime) -> timedelta:
        """How long it has waited; before the policy held it did not."""
        if self.at is None:
            return timedelta()
        due = self.at if self.since is None else max(self.at, self.since)
        return max(timedelta(), now - due)


class RetentionStatus(Struct, frozen=True):
    """How things stand.

    `since` is None as long as the default policy holds. `next_due` is when the next tree is due, if
    any has ended; those of `parked` are left out. `waiting` is discarded, and its events are in the
    store still.
    """

    keep: timedelta
    since: datetime | None
    next_due: datetime | None
    swept: SweepSummary | None
    waiting: SweepSummary | None
    archives: list[ArchiveSummary]
    parked: list[Parking]
    clock_moved: timedelta | None


def read_status(log: Log, shelf: Shelf, now: datetime, reading: Reading) -> RetentionStatus:
    """How things stand in this log, beside these archives."""
    policy = policy_of(log)
    parked = parked_streams(log)
    due = due_of(log, policy, parked, now)
    watched = clock_watch.find(log.cursor(), reading.boot)
    return RetentionStatus(
        keep=policy.keep(now),
        since=due.since,
        next_due=due.at,
        swept=_summary(sweeps(log)[-1:]),
        waiting=_summary(pending_sweeps(log)),
        archives=[ArchiveSummary(name, shelf.size(name)) for name in shelf.names()],
        parked=parked,
        clock_moved=None if watched is None else moved(watched, reading),
    )


def due_of(log: Log, policy: Policy, parked: Iterable[Parking], now: datetime) -> Due:
    """Of the trees that are not parked."""
    held = policy.held(now)
    ended = first_end(log.cursor(), [one.stream.partition("-")[2] for one in parked])
    return Due(
        None if ended is None else ended + policy.keep(now),
        None if held is None else held.holds_from,
    )


def _summary(swept: Sequence[Sweep]) -> SweepSummary | None:
    if not swept:
        return None
    trees = [tree for sweep in swept for tree in sweep.trees]
    return SweepSummary(
        swept[-1].last_modified,
        len(trees),
        sum(len(tree.jobs) for tree in trees),
        sum(len(sweep.others) for sweep in swept),
    )


def parked_streams(log: Log) -> list[Parking]:
    """The streams that are parked, or were released and not discarded yet."""
    parked = parkings(log)
    if not parked:
        return []  # which is how it should be, and all sweeps are a lot to read
    gone = discarded_streams(sweeps(log))
    return [
        parking for parking in parked if parking.stream not in gone and log.stream(parking.stream)
    ]


def wrong_archives(log: Log, shelf: Shelf) -> Iterator[str]:
    """What is wrong with the archives that the ledger names, as far as a short look tells.

    Their digests are for a replay to check: that takes reading all of them.
    """
    for compaction in compactions(log):
        written = compaction.written
        try:
            archive = shelf.get(written.archive)
        except BadArchive as error:
            yield f"archive {error}"
            continue
        if (archive.count, archive.first, archive.last) != (
            written.events,
            written.first,
            written.last,
        ):
            yield f"archive {archive.path}: it is not the one that was written"
