"""Answers about an account's jobs as of an earlier position."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from ledger.archives import ArchivedTree, Shelf
from ledger.domain.errors import Expected
from ledger.store.parameters import timestamp
from ledger.store.tables.streams import newest
from ledger.store.tables.tiles import position_at
from projections.time_travel.discards import discard_of, discards_of
from projections.time_travel.jobs import PastJobs
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot

LISTED_JOBS_MAX = 50_000
"""Jobs of one account that are searched for a list."""


class CannotTell(Expected):
    """The question is about the future, or about more jobs than can be searched."""


class PastPage(NamedTuple):
    """A page of a list, and the length of the whole list."""

    total: int
    trees: list[JobTree]


class _Listed(NamedTuple):
    """What decides the place of a job in the list."""

    uuid: str
    state: str
    last_modified: str


class Past:
    """The jobs as of a position, or as of the last position that was reached by a time.

    Raise `CannotTell` for a position that is not reached yet. All methods may raise `BadArchive`.
    """

    def __init__(self, snapshot: Snapshot, archives: Shelf, as_of: int | datetime) -> None:
        self._snapshot = snapshot
        self._archives = archives
        if isinstance(as_of, datetime):
            self.position = position_at(snapshot.cursor, as_of, archives.events)
        else:
            self.position = as_of
            reached = newest(snapshot.cursor)
            if as_of > reached:
                raise CannotTell(f"the ledger is at position {reached}")

    def job(self, uuid: str, owner: str) -> JobTree | None:
        """Return the job and all that was below it, if this account had it then."""
        jobs = PastJobs(self._snapshot, self._archives, self.position)
        shown = self._snapshot.tree_rows(uuid)
        if shown:
            jobs.add_shown(shown)
        else:
            cursor = self._snapshot.cursor
            archived, stored = discard_of(cursor, self._archives, uuid, owner, self.position)
            jobs.add_archived(archived)
            jobs.add_stored(stored)
        if uuid not in jobs.rows or jobs.rows[uuid].owner != owner:
            return None
        return jobs.trees([uuid])[0]

    def jobs(
        self, owner: str, states: Sequence[str] | None, *, limit: int, offset: int
    ) -> PastPage:
        """Return a page of the account's list of jobs as it was, in the usual order.

        Raise `CannotTell` if more than `LISTED_JOBS_MAX` jobs may have been in it.
        """
        gone = discards_of(self._snapshot.cursor, self._archives, owner, self.position)
        if self._snapshot.count_jobs(owner, None) + gone.jobs > LISTED_JOBS_MAX:
            raise CannotTell(
                f"more than {LISTED_JOBS_MAX} jobs would have to be searched; ask for single ones"
            )
        # The archives' index says when a job ended, so events are read for the page alone.
        over = [tree for tree in gone.archived if self._is_over(tree)]
        jobs = PastJobs(self._snapshot, self._archives, self.position)
        jobs.add_shown(self._snapshot.job_rows(owner))
        jobs.add_stored(gone.stored)
        jobs.add_archived(tree for tree in gone.archived if not self._is_over(tree))
        listed = [
            _Listed(row.uuid, row.state, row.last_modified) for row in jobs.rows.values()
        ] + list(_listed(over))
        if states is not None:
            listed = [job for job in listed if job.state in states]
        listed.sort(key=lambda job: job.uuid)
        listed.sort(key=lambda job: job.last_modified, reverse=True)
        page = [job.uuid for job in listed[offset : offset + limit]]
        jobs.add_archived(
            tree for tree in over if not {job.uuid for job in tree.jobs}.isdisjoint(page)
        )
        return PastPage(len(listed), jobs.trees(page))

    def _is_over(self, tree: ArchivedTree) -> bool:
        """Return whether nothing happened to the tree after the position."""
        return all(job.last <= self.position for job in tree.jobs)


def _listed(trees: Sequence[ArchivedTree]) -> Iterator[_Listed]:
    for tree in trees:
        for job in tree.jobs:
            yield _Listed(job.uuid, job.state, timestamp(job.last_modified))
