"""The trees that were discarded since a position, from archives and the sweeps in the store."""

from collections.abc import Iterator
from typing import NamedTuple

from ledger.archives import ArchivedTree, Shelf
from ledger.domain.events.housekeeping import DiscardedTree, JobsDiscarded
from ledger.store.seam import Cursor
from ledger.store.tables.streams import events_of_kind, newest


class Discards(NamedTuple):
    """Trees that existed at a position and are not shown any more, by where their events are.

    Archives are searched first: what is in one may be on its way out of the store.
    """

    archived: list[ArchivedTree]
    stored: list[DiscardedTree]

    @property
    def jobs(self) -> int:
        """Return how many jobs there are in all of them."""
        numbers = [len(tree.jobs) for tree in self.archived]
        return sum(numbers + [len(tree.jobs) for tree in self.stored])


def discards_of(cursor: Cursor, archives: Shelf, owner: str, position: int) -> Discards:
    """Return an account's trees that were discarded after this position."""
    # What was discarded after this snapshot is still shown in it.
    until = newest(cursor)
    archived = [tree for tree in archives.trees(owner, position) if tree.discarded <= until]
    in_archives = {tree.jobs[0].uuid for tree in archived}
    stored = [tree for tree in _swept(cursor, owner, position) if tree.jobs[0] not in in_archives]
    return Discards(archived, stored)


def discard_of(cursor: Cursor, archives: Shelf, job: str, owner: str, position: int) -> Discards:
    """Return the tree of this job of the account, if it was discarded after this position."""
    archived = archives.tree_of(job)
    if archived is not None and archived.discarded <= newest(cursor):
        there = archived.owner == owner and archived.discarded > position
        return Discards([archived] if there else [], [])
    return Discards([], [tree for tree in _swept(cursor, owner, position) if job in tree.jobs])


def _swept(cursor: Cursor, owner: str, position: int) -> Iterator[DiscardedTree]:
    for recorded in events_of_kind(cursor, "sweep", position):
        assert isinstance(recorded.event, JobsDiscarded)
        yield from (tree for tree in recorded.event.trees if tree.owner == owner)
