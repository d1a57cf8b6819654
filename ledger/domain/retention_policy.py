"""Retention: which trees of jobs are due to be discarded, and what goes with them. Pure.

A tree is due once every job in it has ended and the latest end is before the cutoff, by the time of
the events. The stream of a deleted drive, server or tag goes once it was deleted before the cutoff
and no tree that stays names it; old acts of the ledger's own go likewise.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from ledger.domain.events import DiscardedTree


class JobInTree(NamedTuple):
    """A job as the policy looks at it; `last_modified` is its end once it has one."""

    uuid: str
    parent: str | None
    state: str
    last_modified: datetime


class Tree(NamedTuple):
    """A root job and all below it, the root first."""

    owner: str
    jobs: Sequence[JobInTree]


class Departed(NamedTuple):
    """A stream to which nothing more will happen, since when, and the roots that name it."""

    stream: str
    at: datetime
    named_by: frozenset[str] = frozenset()


class Plan(msgspec.Struct, frozen=True):
    """What a policy of `keep` discards at its cutoff; trees by their ends, streams by name.

    It was found as of a position of the ledger.
    """

    keep: timedelta
    cutoff: datetime
    trees: tuple[DiscardedTree, ...]
    streams: tuple[str, ...]
    position: int

    @property
    def digest(self) -> str:
        """The cutoff, and a SHA-256 over what is discarded: whoever has it has the plan."""
        moment = self.cutoff.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        said = msgspec.json.encode((self.keep, self.cutoff, self.trees, self.streams))
        return f"{moment}-{hashlib.sha256(said).hexdigest()}"

    def __bool__(self) -> bool:
        return bool(self.trees or self.streams)


def cutoff_of(digest: str) -> datetime:
    """The cutoff that a plan's digest names. Raises ValueError if it is none."""
    moment, _, rest = digest.partition("-")
    if len(rest) != hashlib.sha256().digest_size * 2:
        raise ValueError(f"{digest} is no digest of a plan")
    return datetime.strptime(moment, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


def cutoff_at(moment: datetime, keep: timedelta) -> datetime:
    """What ended before this is due at that moment; nothing is, as long as time is too young."""
    earliest = datetime.min.replace(tzinfo=UTC)
    return earliest if moment - earliest < keep else moment - keep


def end_of(tree: Tree) -> datetime | None:
    """When the last of its jobs ended; None if one still runs."""
    if any(job.state == "started" for job in tree.jobs):
        return None
    return max(job.last_modified for job in tree.jobs)


def plan(
    trees: Iterable[Tree],
    departed: Iterable[Departed],
    acts: Iterable[Departed],
    *,
    keep: timedelta,
    cutoff: datetime,
    position: int,
) -> Plan:
    """What goes under this policy; the same for the same trees, in whatever order they come.

    Old acts go along with others, never alone: that would be an act again, and so on for ever.
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
    return Plan(keep, cutoff, tuple(due), tuple(sorted(streams)), position)
