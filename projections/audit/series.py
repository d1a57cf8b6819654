"""Which trees stay for the sake of their series, as an auditor sees it.

A sweep looks at each tree at some moment between its plan and the discard. So an auditor finds
fault only with what was wrong all that time: `had_to_stay` and `could_stay` are not opposites.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import NamedTuple

from ledger.domain.aggregates.housekeeping import Terms
from ledger.domain.aggregates.job import Job
from ledger.domain.retention_policy import SERIES_KEPT, SERIES_MOST


class Sight(NamedTuple):
    """What a sweep goes by: the terms, their moment, and the position as of which it planned.

    What ended after the moment does not count, though it may be before the position.
    """

    terms: Terms
    moment: datetime
    planned_at: int


class _Run(NamedTuple):
    """A root job of a series that has ended, at this position."""

    ended: datetime
    uuid: str
    position: int


_Last = tuple[datetime, str]
"""When the last run of a series ended, and the series."""


_EVER = datetime.max.replace(tzinfo=UTC)


class SeriesRuns:
    """The root jobs of series that have ended and are not discarded."""

    def __init__(self, unread: int) -> None:
        """So many jobs are `unread`: they were discarded so, and may have been of any series."""
        self._unread = unread
        self._series: dict[str, dict[str, list[_Run]]] = defaultdict(dict)
        """By owner and name, each in the order of the ends."""
        self._succeeded: dict[str, int] = {}
        """At which position it was known of a job that it had succeeded."""

    def end(self, job: Job, position: int) -> None:
        name = series_of(job)
        if name is None or job.parent is not None:
            return
        assert job.ended is not None, f"job {job.uuid} runs"
        insort(self._series[job.owner].setdefault(name, []), _Run(job.ended, job.uuid, position))
        if job.produced is not None and job.produced.outcome == "succeeded":
            self.succeed(job, position)

    def succeed(self, job: Job, position: int) -> None:
        self._succeeded.setdefault(job.uuid, position)

    def drop(self, job: Job) -> None:
        """Forget a job that is discarded."""
        name = series_of(job)
        runs = None if name is None else self._series[job.owner].get(name)
        if name is None or runs is None or job.ended is None:
            return
        at = bisect_left(runs, (job.ended, job.uuid))
        if at < len(runs) and runs[at].uuid == job.uuid:
            del runs[at]
            self._succeeded.pop(job.uuid, None)
        if not runs:
            del self._series[job.owner][name]

    def had_to_stay(self, job: Job, sight: Sight) -> bool:
        """Return whether the tree of this root had to stay, ever since the sweep was planned."""
        found = self._find(job)
        if found is None or not sight.terms.keep_last:
            return False
        name, runs, newer = found
        planned = _last(name, runs, sight.moment, sight.planned_at)
        if planned is None or sight.moment - planned[0] > SERIES_KEPT:
            return False
        if self._overtaking(job.owner, planned, None) >= SERIES_MOST:
            return False
        was_success = self._succeeded.get(job.uuid, sight.planned_at + 1) <= sight.planned_at
        is_last_success = was_success and not self._unread and not self._successes(newer, None)
        return len(newer) + self._unread < sight.terms.keep_last or is_last_success

    def could_stay(self, job: Job, sight: Sight) -> bool:
        """Return whether the tree of this root had a right to stay at any time since the plan."""
        found = self._find(job)
        if found is None or not sight.terms.keep_last:
            return False
        name, runs, newer = found
        last = _last(name, runs, sight.moment, None)
        if last is None or sight.moment - last[0] > SERIES_KEPT:
            return False
        if self._overtaking(job.owner, last, sight.planned_at) >= SERIES_MOST:
            return False
        by_then = [
            run for run in newer if run.position <= sight.planned_at and run.ended <= sight.moment
        ]
        return len(by_then) < sight.terms.keep_last or (
            job.uuid in self._succeeded and not self._successes(by_then, sight.planned_at)
        )

    def last_end(self, job: Job) -> datetime | None:
        """Return when the last run of the job's series ended."""
        found = self._find(job)
        return None if found is None else found[1][-1].ended

    def _find(self, job: Job) -> tuple[str, list[_Run], Sequence[_Run]] | None:
        """Return the job's series, the runs of it, and those of them that ended after the job."""
        name = series_of(job)
        runs = None if name is None else self._series[job.owner].get(name)
        if name is None or runs is None or job.ended is None:
            return None
        at = bisect_left(runs, (job.ended, job.uuid))
        is_there = at < len(runs) and runs[at].uuid == job.uuid
        return (name, runs, runs[at + 1 :]) if is_there else None

    def _successes(self, runs: Sequence[_Run], known_by: int | None) -> bool:
        """Return whether one of these runs was known to have succeeded by this position, or now."""
        positions = (self._succeeded.get(run.uuid) for run in runs)
        return any(
            position is not None and (known_by is None or position <= known_by)
            for position in positions
        )

    def _overtaking(self, owner: str, last: _Last, known_by: int | None) -> int:
        """Return how many series of the account had a run after this one, by then, or until now."""
        series = self._series[owner]
        if len(series) <= SERIES_MOST:
            return 0
        lasts = (_last(name, runs, _EVER, known_by) for name, runs in series.items())
        return sum(one is not None and one > last for one in lasts)


def series_of(job: Job) -> str | None:
    return None if job.produced is None else job.produced.registered.series


def _last(name: str, runs: Sequence[_Run], until: datetime, known_by: int | None) -> _Last | None:
    """Return the last of these runs of a series that ended until then, as known at a position."""
    for run in reversed(runs):
        if run.ended <= until and (known_by is None or run.position <= known_by):
            return run.ended, name
    return None


class EndedTree(NamedTuple):
    """A tree that has ended: at what time, at which position."""

    at: datetime
    position: int
    root: str


class SetAside:
    """Trees that stay for their series until something happens: no sweep need look at them."""

    def __init__(self) -> None:
        self._trees: dict[tuple[str, str | None], list[EndedTree]] = defaultdict(list)
        self._lapsing: list[tuple[datetime, str, str]] = []
        """When the last run of each series ended."""
        self._terms: Terms | None = None

    def add(self, tree: EndedTree, root: Job, last_end: datetime) -> None:
        key = root.owner, series_of(root)
        if key not in self._trees:
            heappush(self._lapsing, (last_end, root.owner, key[1] or ""))
        self._trees[key].append(tree)

    def changed(self, job: Job) -> list[EndedTree]:
        """Return the trees of the series of this job, which has ended, or succeeded after all."""
        return self._trees.pop((job.owner, series_of(job)), [])

    def due(self, sight: Sight) -> Iterator[EndedTree]:
        """Yield the trees to look at again: the policy has changed, or their series has lapsed."""
        if self._terms not in (None, sight.terms):
            for trees in self._trees.values():
                yield from trees
            self._trees.clear()
            self._lapsing.clear()
        self._terms = sight.terms
        while self._lapsing and sight.moment - self._lapsing[0][0] > SERIES_KEPT:
            _, owner, name = heappop(self._lapsing)
            yield from self._trees.pop((owner, name), [])
