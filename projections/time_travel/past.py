"""An account's jobs as they were when the ledger ended at an earlier position.

Stamps say nothing here: a clock may have gone back. What decides is where the events of a stream
lie. A job whose last event lies before the position is as its row says; one that was running then
is folded from the events that it had; and one that was discarded since is folded from wherever its
events are now.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from ledger.aggregate import fold
from ledger.codec import decode
from ledger.events import Event, Recorded, job_stream
from ledger.job import Job
from ledger.store import streams
from ledger.store.moments import position_at
from projections.rows import rows as rows_of
from projections.time_travel.archived import Archived
from projections.time_travel.discards import Discards, discard_of, discards_of
from projections.time_travel.resources import existed
from projections.views.families import family, jobs_of, named_by
from projections.views.records import JobRow, JobTree
from projections.views.snapshot import Snapshot

JOBS_MOST = 50_000
"""Jobs of one account that are looked through for a list."""


class CannotTell(Exception):
    """The question is about the future, or about more jobs than can be looked through."""


class PastPage(NamedTuple):
    """A part of a list, and how long the whole of it was."""

    total: int
    trees: list[JobTree]


class _Jobs(NamedTuple):
    """Jobs as they were: rows of all of them, and what the discarded ones had come to."""

    rows: dict[str, JobRow]
    gone: dict[str, Job]


class Past:
    """The jobs as of a position, or of a time: then, of the last position reached by that time.

    Raises `CannotTell` for a position that is not reached yet.
    """

    def __init__(self, snapshot: Snapshot, archives: Archived, as_of: int | datetime) -> None:
        self._snapshot = snapshot
        self._cursor = snapshot.cursor
        self._archives = archives
        if isinstance(as_of, datetime):
            self.position = position_at(self._cursor, as_of)
        else:
            self.position = as_of
            newest = streams.newest(self._cursor)
            if as_of > newest:
                raise CannotTell(f"the ledger is at position {newest}")

    def job(self, uuid: str, owner: str) -> JobTree | None:
        """The job and all that was below it, if it is this account's and was there."""
        shown = family(self._snapshot, uuid)
        gone = Discards([], [])
        if not shown:
            gone = discard_of(self._cursor, self._archives, uuid, owner, self.position)
        jobs = self._jobs(shown, gone)
        if uuid not in jobs.rows or jobs.rows[uuid].owner != owner:
            return None
        return self._trees(jobs, [uuid])[0]

    def jobs(
        self, owner: str, states: Sequence[str] | None, *, limit: int, offset: int
    ) -> PastPage:
        """A page of what the account's list of jobs was, in the same order as ever.

        Raises `CannotTell` if there are more than `JOBS_MOST` jobs that may have been in it.
        """
        gone = discards_of(self._cursor, self._archives, owner, self.position)
        if self._snapshot.count_jobs(owner, None) + gone.jobs > JOBS_MOST:
            raise CannotTell(
                f"more than {JOBS_MOST} jobs would be looked through; ask for single ones"
            )
        jobs = self._jobs(jobs_of(self._snapshot, owner), gone)
        listed = [row for row in jobs.rows.values() if states is None or row.state in states]
        listed.sort(key=lambda row: row.uuid)
        listed.sort(key=lambda row: row.last_modified, reverse=True)
        page = [row.uuid for row in listed[offset : offset + limit]]
        return PastPage(len(listed), self._trees(jobs, page))

    # Single jobs

    def _jobs(self, shown: Sequence[JobRow], gone: Discards) -> _Jobs:
        """These jobs as they were, those that had not begun left out."""
        spans = streams.spans(self._cursor, [job_stream(row.uuid) for row in shown])
        rows, changed = {}, []
        for row in shown:
            if spans[job_stream(row.uuid)].last <= self.position:
                rows[row.uuid] = row
            else:
                changed.append(row.uuid)
        rows |= {job.uuid: _row(job) for job in self._stored(changed)}
        folded = chain(
            self._stored([uuid for tree in gone.stored for uuid in tree.jobs]),
            self._archived([uuid for tree in gone.archived for uuid in tree.jobs]),
        )
        discarded = {job.uuid: job for job in folded}
        rows |= {uuid: _row(job) for uuid, job in discarded.items()}
        return _Jobs(rows, discarded)

    def _stored(self, uuids: Sequence[str]) -> Iterator[Job]:
        asked = [job_stream(uuid) for uuid in uuids]
        for stream, history in streams.histories(self._cursor, asked, self.position):
            yield _folded(stream, history)

    def _archived(self, uuids: Iterable[str]) -> Iterator[Job]:
        for stream in map(job_stream, uuids):
            history = [
                decode(event.topic, event.state)
                for event in self._archives.stream(stream) or ()
                if event.position <= self.position
            ]
            if history:
                yield _folded(stream, history)

    # Trees

    def _trees(self, jobs: _Jobs, wanted: Sequence[str]) -> list[JobTree]:
        """Those that are wanted out of whole families, each with what was below it."""
        below: dict[str, list[JobRow]] = defaultdict(list)
        for row in sorted(jobs.rows.values(), key=lambda row: row.ordinal):
            if row.parent is not None:
                below[row.parent].append(row)
        shown: dict[str, JobRow] = {}
        waiting = [jobs.rows[uuid] for uuid in wanted]
        while waiting:
            row = waiting.pop()
            shown[row.uuid] = row
            waiting += below[row.uuid]
        resources = self._resources(shown, jobs.gone)

        def tree(row: JobRow) -> JobTree:
            children = [tree(child) for child in below[row.uuid]]
            return JobTree(row, sorted(resources[row.uuid]), children)

        return [tree(jobs.rows[uuid]) for uuid in wanted]

    def _resources(self, shown: Iterable[str], gone: Mapping[str, Job]) -> dict[str, list[str]]:
        """The URIs of what each of these jobs named that existed then."""
        named = named_by(self._snapshot, [uuid for uuid in shown if uuid not in gone])
        named += [
            (uuid, resource.kind, resource.uuid)
            for uuid in shown
            if uuid in gone
            for resource in gone[uuid].resources
        ]
        there = existed(
            self._snapshot, self._archives, {(kind, uuid) for _, kind, uuid in named}, self.position
        )
        uris: dict[str, list[str]] = defaultdict(list)
        for job, kind, uuid in named:
            if (kind, uuid) in there:
                uris[job].append(f"/api/2.0/{kind}/{uuid}/")
        return uris


def _folded(stream: str, history: Sequence[Recorded[Event]]) -> Job:
    job = fold(stream, history)
    assert isinstance(job, Job)
    return job


def _row(job: Job) -> JobRow:
    return JobRow._make(rows_of(job)["jobs", (job.uuid,)])
