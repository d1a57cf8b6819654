"""Reads of jobs as the API of producers shows them: with all that is recorded, without a tree."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from ledger.domain.aggregates.produced import Produced
from ledger.domain.producers.conditions import Condition, State, recorded_conditions
from ledger.store.parameters import timestamp
from ledger.store.tables import texts
from projections.facets import STATE
from projections.rows import read_produced
from projections.tables import JobRow
from projections.views.reader import Reader, in_order


class ChildCounts(NamedTuple):
    """How many jobs are directly below one, and how they stand; what was skipped has succeeded."""

    total: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class ShownJob(NamedTuple):
    """A job with all that is recorded of it; `produced` is None for a job of ours.

    `version` is that of its stream. `texts` are its words, by their slots. `conditions` are those
    that are recorded, or follow from the time and the jobs below.
    """

    job: JobRow
    version: int
    state: State
    produced: Produced | None
    labels: Mapping[str, str]
    children: ChildCounts
    conditions: tuple[Condition, ...]
    texts: Mapping[str, str]

    @property
    def uuid(self) -> str:
        return self.job.uuid

    @property
    def series(self) -> str | None:
        return None if self.produced is None else self.produced.registered.series


class _Standing(NamedTuple):
    produced: Produced
    overdue: str | None


class ProducedJobs(Reader):
    def shown_job(self, uuid: str, owner: str, now: datetime) -> ShownJob | None:
        """Return the job if it belongs to this account."""
        found = self.shown_jobs([uuid], owner, now)
        return found[0] if found else None

    def shown_jobs(self, uuids: Sequence[str], owner: str, now: datetime) -> list[ShownJob]:
        """Return those of these jobs that belong to this account, in the given order."""
        g = self._g
        rows = self._among(
            f"SELECT {', '.join(JobRow.__struct_fields__)}, (SELECT max(originator_version)"
            f" FROM stored_events WHERE originator_id = 'job-' || uuid)"
            f" FROM jobs_g{g} WHERE uuid IN (...)",
            uuids,
        )
        owned = [(JobRow(*row), version) for *row, version in rows if row[1] == owner]
        found = [job.uuid for job, _ in owned]
        standings, labels = self._standings(found), self._labels(found)
        children, words = self._children(found), texts.read(self._cursor, found)
        shown = []
        for job, version in owned:
            own, standing = labels[job.uuid], standings.get(job.uuid)
            below = children.get(job.uuid, ChildCounts())
            state = cast(State, own.pop(STATE))
            shown.append(
                ShownJob(
                    job,
                    version,
                    state,
                    standing and standing.produced,
                    own,
                    below,
                    tuple(_conditions(job, standing, below, timestamp(now))),
                    words.get(job.uuid, {}),
                )
            )
        return in_order(shown, uuids)

    def produced_jobs(self, uuids: Sequence[str], owner: str) -> dict[str, Produced]:
        """Return how those of these jobs stand that are producers' and belong to this account.

        This is much less than `shown_jobs` reads.
        """
        rows = self._among(f"SELECT uuid, owner FROM jobs_g{self._g} WHERE uuid IN (...)", uuids)
        owned = [uuid for uuid, has in rows if has == owner]
        return {uuid: standing.produced for uuid, standing in self._standings(owned).items()}

    def _standings(self, uuids: Sequence[str]) -> dict[str, _Standing]:
        rows = self._among(
            f"SELECT uuid, registered, standing, overdue FROM produced_g{self._g}"
            f" JOIN registrations_g{self._g} USING (uuid) WHERE uuid IN (...)",
            uuids,
        )
        return {
            uuid: _Standing(read_produced(registered, standing), overdue)
            for uuid, registered, standing, overdue in rows
        }

    def _labels(self, uuids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return all labels of these jobs, with the state among them."""
        labels: dict[str, dict[str, str]] = {}
        for uuid, key, value in self._among(
            f"SELECT uuid, key, value FROM labels_g{self._g} WHERE uuid IN (...) ORDER BY key",
            uuids,
        ):
            if key == STATE or not key.startswith(":"):
                labels.setdefault(uuid, {})[key] = value
        return labels

    def _children(self, uuids: Sequence[str]) -> dict[str, ChildCounts]:
        counts: dict[str, Counter[str]] = {}
        for parent, state, count in self._among(
            f"SELECT parent, state, count(*) FROM jobs_g{self._g} WHERE parent IN (...)"
            " GROUP BY parent, state",
            uuids,
        ):
            counts.setdefault(parent, Counter())[state] = count
        return {
            parent: ChildCounts(
                total=each.total(),
                running=each["started"],
                succeeded=each["success"],
                failed=each["failed"],
                cancelled=each["cancelled"],
            )
            for parent, each in counts.items()
        }


def _conditions(
    job: JobRow, standing: _Standing | None, children: ChildCounts, now: str
) -> Iterator[Condition]:
    if standing is None:
        return
    yield from recorded_conditions(standing.produced)
    if standing.overdue is not None and standing.overdue <= now:
        yield Condition("overdue", datetime.fromisoformat(standing.overdue))
    if job.ended is not None and children.running:
        yield Condition("children_running", datetime.fromisoformat(job.ended))
