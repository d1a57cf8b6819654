"""Retention: which trees of jobs are due to be discarded, and what goes with them. Pure.

A tree is due once every job in it has ended and the latest end is before the cutoff, by the time of
the events, unless it stays for the sake of its series. The stream of a deleted drive, server or tag
goes once it was deleted before the cutoff and no remaining tree names it. Old acts of the ledger
itself go likewise.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from ledger.domain.aggregates.housekeeping import Terms
from ledger.domain.events.housekeeping import DiscardedTree

SERIES_MOST = 10_000
"""Series of an account of which jobs stay: those whose last run ended last."""
SERIES_KEPT = timedelta(days=400)
"""How long after its last run the jobs of a series stay: what runs once a year has a history."""


class JobInTree(NamedTuple):
    """A job as the policy sees it; `ended` is None while it runs."""

    uuid: str
    parent: str | None
    ended: datetime | None


class Tree(NamedTuple):
    """A root job and all below it, the root first."""

    owner: str
    jobs: Sequence[JobInTree]


class Run(NamedTuple):
    """A root job of a series, among the root jobs of it that have ended.

    `newer` of these ended after it, and `latest` is when the last of them did. `is_last_success`:
    it succeeded, and none of the newer ones did. `is_crowded_out`: since the last run of its
    series, so many other series of the account have had one that this one has no right to stay.
    """

    newer: int
    latest: datetime
    is_last_success: bool
    is_crowded_out: bool


def stays(run: Run, terms: Terms, moment: datetime) -> bool:
    """Return whether a tree stays at this moment for its series, however long ago it ended."""
    if run.is_crowded_out or moment - run.latest > SERIES_KEPT:
        return False
    return terms.keep_last > 0 and (run.newer < terms.keep_last or run.is_last_success)


class Departed(NamedTuple):
    """A stream that will get no more events, since when, and the root jobs that name it."""

    stream: str
    at: datetime
    named_by: frozenset[str] = frozenset()


class Plan(msgspec.Struct, frozen=True):
    """What a policy discards at its cutoff; trees by their ends, streams by name.

    The plan was made as of a position of the ledger.
    """

    keep: timedelta
    keep_last: int
    cutoff: datetime
    trees: tuple[DiscardedTree, ...]
    streams: tuple[str, ...]
    position: int

    @property
    def terms(self) -> Terms:
        return Terms(self.keep, self.keep_last)

    @property
    def moment(self) -> datetime:
        """When the policy has this cutoff."""
        return self.cutoff + self.keep

    @property
    def digest(self) -> str:
        """The cutoff and a SHA-256 over what is discarded, by which the plan can be confirmed."""
        moment = self.cutoff.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        content = msgspec.json.encode((*self.terms, self.cutoff, self.trees, self.streams))
        return f"{moment}-{hashlib.sha256(content).hexdigest()}"

    def __bool__(self) -> bool:
        return bool(self.trees or self.streams)


def cutoff_of(digest: str) -> datetime:
    """Return the cutoff that a plan's digest names. Raise ValueError if it is no digest."""
    moment, _, rest = digest.partition("-")
    if len(rest) != hashlib.sha256().digest_size * 2:
        raise ValueError(f"{digest} is no digest of a plan")
    return datetime.strptime(moment, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


def cutoff_at(moment: datetime, keep: timedelta) -> datetime:
    """Return the time before which jobs must have ended to be due at this moment."""
    earliest = datetime.min.replace(tzinfo=UTC)
    return earliest if moment - earliest < keep else moment - keep


def end_of(tree: Tree) -> datetime | None:
    """Return when the last of its jobs ended; None if one still runs."""
    ends = [job.ended for job in tree.jobs if job.ended is not None]
    return max(ends) if len(ends) == len(tree.jobs) else None


def plan(
    trees: Iterable[Tree],
    departed: Iterable[Departed],
    acts: Iterable[Departed],
    *,
    terms: Terms,
    cutoff: datetime,
    position: int,
) -> Plan:
    """Return what this policy discards; the order of the trees makes no difference.

    The trees are those that do not stay for the sake of their series.

    Old acts are discarded only along with other streams: alone, that would be one more act to
    discard, and so on for ever.
    """
    due = [
        DiscardedTree(tree.owner, tuple(job.uuid for job in tree.jobs), ended)
        for tree in trees
        if (ended := end_of(tree)) is not None and ended < cutoff
    ]
    going = {tree.jobs[0] for tree in due}
    streams = [stream for stream, at, named_by in departed if at < cutoff and named_by <= going]
    if due or streams:
        streams += [stream for stream, at, _ in acts if at < cutoff]
    due.sort(key=lambda tree: (tree.ended, tree.jobs))
    return Plan(*terms, cutoff, tuple(due), tuple(sorted(streams)), position)
