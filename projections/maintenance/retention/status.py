"""The status of retention: the policy, what is due next, what waits, what is wrong. Reads only."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from ledger.archives import BadArchive, Shelf
from ledger.domain.aggregates.housekeeping import Parking, Policy, Sweep
from ledger.domain.clock_trust import Reading, behind, behind_text, moved, moved_text
from ledger.store.seam import Log
from ledger.store.tables import clock_watch
from ledger.store.whole_streams import tails
from projections.streams import (
    compactions,
    discarded_streams,
    parkings,
    pending_sweeps,
    policy_of,
    streams_being_deleted,
    sweeps,
)
from projections.views.retention import first_end


class SweepSummary(Struct, frozen=True):
    """What one or more sweeps discarded, the newest of them at that time."""

    at: datetime
    trees: int
    jobs: int
    streams: int


class ArchiveSummary(Struct, frozen=True):
    """An archive in the directory."""

    name: str
    bytes: int


class Deletion(Struct, frozen=True):
    """What a compaction that has not ended is deleting from the store.

    `archives` have its events, and `tails` are the streams of which some events are left, but not
    the first.
    """

    archives: list[str]
    tails: list[str]


class Due(NamedTuple):
    """When the next tree is due, if any has ended, and since when the policy holds."""

    at: datetime | None
    since: datetime | None

    def overdue(self, now: datetime) -> timedelta:
        """Return how long it has been due under this policy."""
        if self.at is None:
            return timedelta()
        due = self.at if self.since is None else max(self.at, self.since)
        return max(timedelta(), now - due)


class RetentionStatus(Struct, frozen=True):
    """The status.

    `since` is None as long as the default policy holds. `next_due` is when the next tree is due, if
    any has ended, except those in `parked`. `waiting` is discarded, but not archived yet.
    `deleting` is None unless a compaction is under way, or was interrupted. `unreadable` says of
    each archive that is no regular file, or cannot be looked at, what is wrong with it.
    The clock was set, or is behind the newest event: then nothing is discarded.
    """

    keep: timedelta
    keep_last: int
    since: datetime | None
    next_due: datetime | None
    swept: SweepSummary | None
    waiting: SweepSummary | None
    deleting: Deletion | None
    archives: list[ArchiveSummary]
    unreadable: list[str]
    parked: list[Parking]
    clock_moved: timedelta | None
    clock_behind: timedelta | None

    @property
    def distrust(self) -> str | None:
        """Return why the clock is not trusted, in words."""
        if self.clock_moved is not None:
            return moved_text(self.clock_moved)
        return None if self.clock_behind is None else behind_text(self.clock_behind)


def read_status(log: Log, shelf: Shelf, now: datetime, reading: Reading) -> RetentionStatus:
    """Read the status of this log, with these archives."""
    policy = policy_of(log)
    parked = parked_streams(log)
    terms = policy.terms(now)
    due = due_of(log, policy, parked, now)
    watched = clock_watch.find(log.cursor(), reading.boot)
    archives, unreadable = _archives(shelf)
    return RetentionStatus(
        keep=terms.keep,
        keep_last=terms.keep_last,
        since=due.since,
        next_due=due.at,
        swept=_summary(sweeps(log)[-1:]),
        waiting=_summary(pending_sweeps(log)),
        deleting=_deletion(log),
        archives=archives,
        unreadable=unreadable,
        parked=parked,
        clock_moved=None if watched is None else moved(watched, reading),
        clock_behind=behind(reading),
    )


def due_of(log: Log, policy: Policy, parked: Iterable[Parking], now: datetime) -> Due:
    """Return when the next tree is due that is not parked."""
    held, terms = policy.held(now), policy.terms(now)
    jobs = [one.stream.partition("-")[2] for one in parked]
    ended = first_end(log.cursor(), jobs, terms, now)
    return Due(
        None if ended is None else ended + terms.keep,
        None if held is None else held.holds_from,
    )


def _archives(shelf: Shelf) -> tuple[list[ArchiveSummary], list[str]]:
    archives, unreadable = [], []
    for name in shelf.names():
        try:
            archives.append(ArchiveSummary(name, shelf.size(name)))
        except BadArchive as error:
            unreadable.append(str(error))
    return archives, unreadable


def _deletion(log: Log) -> Deletion | None:
    archives = streams_being_deleted(log)
    if not archives:
        return None
    left = [stream for stream in tails(log.cursor()) if stream in archives]
    return Deletion(sorted({*archives.values()}), left)


def lost_beginnings(log: Log) -> list[str]:
    """Return the streams that have lost their first event, though no compaction deletes them."""
    left = tails(log.cursor())
    archives = streams_being_deleted(log) if left else {}
    return [stream for stream in left if stream not in archives]


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
    """Return the streams that are parked, or were released and not discarded yet."""
    parked = parkings(log)
    if not parked:
        return []  # the usual case; reading all sweeps takes long
    gone = discarded_streams(sweeps(log))
    return [
        parking for parking in parked if parking.stream not in gone and log.stream(parking.stream)
    ]


def wrong_archives(log: Log, shelf: Shelf) -> Iterator[str]:
    """Yield what a quick check finds wrong with the archives that the ledger names, or are there.

    Their digests are left to a replay: checking them means reading all archives.
    """
    recorded = [compaction.written for compaction in compactions(log)]
    for name in sorted(set(shelf.names()) - {written.archive for written in recorded}):
        try:
            shelf.get(name)
        except BadArchive as error:  # what is sought in archives may be in this one
            yield f"archive {error}"
    for written in recorded:
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
            yield f"archive {archive.path} is not the one that was written"
