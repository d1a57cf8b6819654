"""Jobs as they were at a position, read from rows, the store and archives.

A job whose last event is not after the position is as its row says; one that was running then is
folded from the events it had; and one that was discarded since is folded from wherever its events
are now. Timestamps play no part: a clock may have gone back.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ledger.archives import ArchivedTree, Shelf
from ledger.codec import decode
from ledger.domain.aggregates import fold
from ledger.domain.aggregates.job import Job
from ledger.domain.events.housekeeping import DiscardedTree
from ledger.domain.events.jobs import job_stream
from ledger.store.tables.streams import Stored, histories, spans
from projections.rows import job_row
from projections.streams import CANNOT_FOLD
from projections.tables import JobRow
from projections.time_travel.resources import resources_at
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot


class PastJobs:
    """Whole trees of jobs as they were, without jobs that had not begun."""

    def __init__(self, snapshot: Snapshot, archives: Shelf, position: int) -> None:
        self._snapshot = snapshot
        self._archives = archives
        self._position = position
        self._gone: dict[str, Job] = {}
        self.rows: dict[str, JobRow] = {}

    def add_shown(self, shown: Sequence[JobRow]) -> None:
        """Add jobs that are shown now."""
        where = spans(self._snapshot.cursor, [job_stream(row.uuid) for row in shown])
        changed = []
        for row in shown:
            span = where.get(job_stream(row.uuid))
            if span is not None and span.last <= self._position:
                self.rows[row.uuid] = row
            else:
                changed.append(job_stream(row.uuid))
        for stream, stored in histories(self._snapshot.cursor, changed, self._position):
            job = _fold_job(stream, stored)
            if job is not None:
                self.rows[job.uuid] = job_row(job)

    def add_stored(self, trees: Iterable[DiscardedTree]) -> None:
        """Add discarded jobs whose events are in the store."""
        streams = [job_stream(uuid) for tree in trees for uuid in tree.jobs]
        for stream, stored in histories(self._snapshot.cursor, streams, self._position):
            self._add_gone(stream, stored)

    def add_archived(self, trees: Iterable[ArchivedTree]) -> None:
        """Add discarded jobs whose events are in an archive."""
        for stream in [job_stream(job.uuid) for tree in trees for job in tree.jobs]:
            events = self._archives.stream(stream) or ()
            self._add_gone(
                stream,
                [(each.topic, each.state) for each in events if each.position <= self._position],
            )

    def _add_gone(self, stream: str, stored: Sequence[Stored]) -> None:
        job = _fold_job(stream, stored) if stored else None
        if job is not None:
            self._gone[job.uuid] = job
            self.rows[job.uuid] = job_row(job)

    # Trees

    def trees(self, wanted: Sequence[str]) -> list[JobTree]:
        """Return these jobs, each with the jobs that were below it."""
        below: dict[str, list[JobRow]] = defaultdict(list)
        for row in sorted(self.rows.values(), key=lambda row: row.ordinal):
            if row.parent is not None:
                below[row.parent].append(row)
        shown: set[str] = set()
        waiting = list(wanted)
        while waiting:
            uuid = waiting.pop()
            shown.add(uuid)
            waiting += [child.uuid for child in below[uuid]]
        resources = self._resources(shown)

        def tree(row: JobRow) -> JobTree:
            children = [tree(child) for child in below[row.uuid]]
            return JobTree(row, sorted(resources[row.uuid]), children)

        return [tree(self.rows[uuid]) for uuid in wanted]

    def _resources(self, jobs: Iterable[str]) -> dict[str, list[str]]:
        """Return what each of these jobs named that existed then, as in `JobTree`."""
        named = self._snapshot.named_by([uuid for uuid in jobs if uuid not in self._gone])
        named += [
            (uuid, resource.kind, resource.uuid)
            for uuid in jobs
            if uuid in self._gone
            for resource in self._gone[uuid].resources
        ]
        resources = {(kind, uuid) for _, kind, uuid in named}
        there = resources_at(self._snapshot, self._archives, resources, self._position)
        found: dict[str, list[str]] = defaultdict(list)
        for job, kind, uuid in named:
            if (kind, uuid) in there:
                found[job].append(f"{kind}/{uuid}")
        return found


def _fold_job(stream: str, stored: Iterable[Stored]) -> Job | None:
    """Fold a job; return None if it cannot be read, so that the others are still shown."""
    try:
        job = fold(stream, [decode(topic, state) for topic, state in stored])
    except CANNOT_FOLD:
        return None
    assert isinstance(job, Job)
    return job
