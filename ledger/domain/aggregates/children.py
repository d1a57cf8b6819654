"""The sub-jobs of a job, as folded from its stream.

Tens of thousands may begin and end under one parent, so each event changes a persistent map instead
of copying what is there.
"""

from collections.abc import Iterator

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events.jobs import Ending


class Child(Struct, frozen=True, gc=False):
    """A sub-job; `ordinal` is its place among its parent's children."""

    uuid: str
    ordinal: int
    ended: Ending | None = None


class Children(Struct, frozen=True, gc=False):
    """All sub-jobs of a job, and how many of them run or ended in each way."""

    each: Map[str, Child] = Map()
    running: int = 0
    failed: int = 0
    cancelled: int = 0

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Child]:
        """Yield them in the order in which they were attached."""
        return iter(sorted(self.each.values(), key=lambda child: child.ordinal))

    def get(self, uuid: str) -> Child | None:
        return self.each.get(uuid)

    def attach(self, uuid: str) -> "Children":
        each = self.each.set(uuid, Child(uuid, len(self)))
        return replace(self, each=each, running=self.running + 1)

    def end(self, uuid: str, how: Ending) -> "Children":
        """Return the children after one of those that run has ended."""
        child = self.each[uuid]
        return Children(
            each=self.each.set(uuid, Child(uuid, child.ordinal, how)),
            running=self.running - 1,
            failed=self.failed + (how == "failed"),
            cancelled=self.cancelled + (how == "cancelled"),
        )

    @property
    def outcome(self) -> Ending | None:
        """How their parent ends: one that failed outweighs one that was cancelled.

        None while one of them runs, and if there are none.
        """
        if self.running or not self.each:
            return None
        if self.failed:
            return "failed"
        return "cancelled" if self.cancelled else "success"
