"""What is asked of the archives, where the events of discarded jobs go; and having none."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ledger.store.seam import LoggedEvent


class GoneTree(NamedTuple):
    """A root job and all below it, the root first; and the position at which it was discarded."""

    owner: str
    jobs: tuple[str, ...]
    discarded: int


class Archived(Protocol):
    """The archives that are there. What one of them holds may be in the store still, or in part."""

    def stream(self, name: str) -> list[LoggedEvent] | None:
        """All events of a stream, in order; None if it is in no archive."""

    def trees(self, owner: str, position: int) -> Sequence[GoneTree]:
        """An account's trees that had begun at this position, and were discarded after it."""

    def tree_of(self, job: str) -> GoneTree | None:
        """The tree that this job is in."""


class NoArchives:
    """An `Archived` without an archive."""

    def stream(self, name: str) -> list[LoggedEvent] | None:
        return None

    def trees(self, owner: str, position: int) -> Sequence[GoneTree]:
        return ()

    def tree_of(self, job: str) -> GoneTree | None:
        return None
