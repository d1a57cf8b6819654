"""What an archive says about the trees of jobs whose events it holds."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ledger.domain.events.jobs import Ending


class ArchivedJob(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A job that had ended; `first` and `last` are the positions of its own events.

    `ended` is the time of the event that ended it. An archive of an earlier version does not say:
    there that was the last one, at `last_modified`.
    """

    uuid: str
    first: int
    last: int
    created: datetime
    last_modified: datetime
    parent: str | None
    state: Ending
    ended: datetime | None = None


class ArchivedTree(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A root job and all below it, the root first; `ended` is the latest end.

    `discarded` is the position of the `JobsDiscarded` by which it ceased to be shown.
    """

    owner: str
    jobs: tuple[ArchivedJob, ...]
    ended: datetime
    discarded: int

    @property
    def first(self) -> int:
        """The position of the first event of the tree."""
        return min(job.first for job in self.jobs)


class TreesSpan(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The lowest position of any tree's event, and the highest at which one was discarded."""

    first: int
    discarded: int


def span_of(trees: Sequence[ArchivedTree]) -> TreesSpan:
    """Return the span of some trees, at least one."""
    return TreesSpan(min(tree.first for tree in trees), max(tree.discarded for tree in trees))
