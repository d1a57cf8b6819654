"""Reads of jobs: trees, lists of any length, and plain rows."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from ledger.store.log import Connection, streamed
from ledger.store.parameters import marks
from ledger.store.seam import Cursor
from ledger.store.tables.streams import end_position
from projections.facets import OPERATION
from projections.tables import JobRow, select
from projections.views.filters import Conditions
from projections.views.generations import live_generation
from projections.views.read_models import Family, JobTree, Naming, joined
from projections.views.reader import NO_LIMIT, Reader

NAMING_LIMIT = 100
"""The most jobs that are found for a drive or server that they name, the newest first."""

OPERATIONS_MOST = 50
"""The most operations that are named of an account's jobs."""


_END = end_position("'job-' || uuid")


class LongTree(Exception):
    """A tree has more jobs than were asked for."""


class Life(NamedTuple):
    """When a job began and ended or changed last, and what its current attempt has copied.

    `last` and `last_stamp` are of the event that ended it or, while it runs, of its last one. The
    positions are None for events that are not there.
    """

    is_root: bool
    state: str
    created: str
    first: int | None
    last_stamp: str
    last: int | None
    began: str | None
    copied: str | None
    reported: str | None
    bytes_before: int
    bytes_done: int


@lru_cache
def _job_columns(generation: int) -> str:
    """Return a job's columns, the last of which lists resources: `drives/UUID,servers/UUID`.

    These are the resources that the job names and that still exist. Each is looked up by its key:
    PostgreSQL would answer an EXISTS here by reading all drives.
    """
    return (
        f"{', '.join(JobRow.__struct_fields__)}, (SELECT group_concat(kind || '/' || resource)"
        f" FROM job_resources_g{generation} WHERE job = jobs_g{generation}.uuid AND CASE kind"
        f" WHEN 'drives' THEN (SELECT 1 FROM drives_g{generation} WHERE uuid = resource)"
        f" ELSE (SELECT 1 FROM servers_g{generation} WHERE uuid = resource) END = 1)"
    )


class Jobs(Reader):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._job = _job_columns(self._g)

    def job(self, uuid: str, owner: str) -> JobTree | None:
        """Return the job and all below it if it belongs to this account."""
        return self.family(uuid, owner).trees().get(uuid)

    def family(self, uuid: str, owner: str, most: int = NO_LIMIT - 1) -> Family:
        """Return the whole tree that this account's job is in; empty if it has no such job.

        Raise `LongTree` if it has more than `most` jobs; the rest is not read.
        """
        rows = self._all(
            f"{select('jobs', self._g)} WHERE root ="
            f" (SELECT root FROM jobs_g{self._g} WHERE uuid = ? AND owner = ?) LIMIT ?",
            (uuid, owner, most + 1),
        )
        if len(rows) > most:
            raise LongTree
        jobs = sorted((JobRow(*row) for row in rows), key=attrgetter("ordinal"))
        # Looked up by their keys: PostgreSQL would answer an EXISTS here by reading all drives.
        named = self._among(
            "SELECT job, kind || '/' || resource, coalesce(CASE kind"
            f" WHEN 'drives' THEN (SELECT 1 FROM drives_g{self._g} WHERE uuid = resource)"
            f" ELSE (SELECT 1 FROM servers_g{self._g} WHERE uuid = resource) END, 0)"
            f" FROM job_resources_g{self._g} WHERE job IN (...)",
            [job.uuid for job in jobs],
        )
        return Family(jobs, [Naming(job, resource, bool(there)) for job, resource, there in named])

    def jobs_among(self, uuids: Sequence[str], owner: str) -> list[JobTree]:
        """Return those of these jobs that belong to this account, each with all below it.

        They are in the given order.
        """
        rows = self._among(f"SELECT {self._job} FROM jobs_g{self._g} WHERE uuid IN (...)", uuids)
        owned = {row[0]: row for row in rows if row[1] == owner}
        return self._trees_below([owned[uuid] for uuid in uuids if uuid in owned])

    def leaves_among(self, uuids: Sequence[str], owner: str) -> list[JobTree]:
        """Do the same for jobs that have no sub-jobs and get none; their trees are not read.

        A job that a worker has started is such a leaf.
        """
        rows = self._among(f"SELECT {self._job} FROM jobs_g{self._g} WHERE uuid IN (...)", uuids)
        return [_tree(row) for row in rows if row[1] == owner]

    def count_jobs(
        self, owner: str, states: Sequence[str] | None, conditions: Conditions = ()
    ) -> int:
        """Return how many jobs the account has in these states; None means all states."""
        where, parameters = self._jobs_where(owner, states, conditions)
        return self._count(f"jobs_g{self._g} WHERE {where}", parameters)

    def _jobs_where(
        self, owner: str, states: Sequence[str] | None, conditions: Conditions
    ) -> tuple[str, list[str]]:
        """Return the SQL for an account's jobs in these states that meet all these conditions."""
        clauses, parameters = self._where(owner, conditions)
        if any(condition.lookup == "resource" for condition in conditions):
            # A resource has few jobs: looking them up is quicker than reading all of the account's.
            clauses = clauses.replace("owner = ?", "owner || '' = ?", 1)
        where, within = _in_states(states)
        return clauses + where, [*parameters, *within]

    def running_leaves(self) -> list[str]:
        """Return the jobs of all accounts that a worker should be running, oldest first."""
        rows = self._all(
            f"SELECT uuid FROM jobs_g{self._g} AS job WHERE state = 'started'"
            " AND source IS NULL AND NOT EXISTS"
            f" (SELECT 1 FROM jobs_g{self._g} AS child WHERE child.root = job.root"
            "  AND child.parent = job.uuid) ORDER BY created, uuid",
        )
        return [uuid for (uuid,) in rows]

    def without_lease(self) -> list[str]:
        """Return the jobs of producers that go on and have no lease, oldest first."""
        rows = self._all(
            f"SELECT uuid FROM jobs_g{self._g} AS job WHERE state = 'started'"
            " AND source IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM leases WHERE leases.job = job.uuid) ORDER BY created, uuid",
        )
        return [uuid for (uuid,) in rows]

    def operations(self, owner: str) -> list[str]:
        """Return the operations of the account's jobs, in order, and no more than that.

        Each is looked up after the one before, however many jobs have it.
        """
        labels = f"FROM labels_g{self._g} WHERE owner = ? AND key = ?"
        rows = self._all(
            f"WITH RECURSIVE found (value, nth) AS (SELECT (SELECT min(value) {labels}), 1"
            f" UNION ALL SELECT (SELECT min(value) {labels} AND value > found.value), nth + 1"
            f"  FROM found WHERE value IS NOT NULL AND nth < {OPERATIONS_MOST})"
            " SELECT value FROM found WHERE value IS NOT NULL ORDER BY nth",
            (owner, OPERATION, owner, OPERATION),
        )
        return [operation for (operation,) in rows]

    def lives(self, owner: str, since: str) -> Iterator[Life]:
        """Yield the lives of the account's jobs that have changed since then."""
        rows = streamed(
            self._connection.cursor(),
            "SELECT parent IS NULL, state, created, (SELECT position FROM stored_events"
            "  WHERE originator_id = 'job-' || uuid AND originator_version = 1),"
            " coalesce(ended, last_modified), CASE WHEN ended IS NULL"
            "  THEN (SELECT position FROM stored_events"
            "   WHERE originator_id = 'job-' || uuid ORDER BY originator_version DESC LIMIT 1)"
            f"  ELSE {_END} END,"
            " began, copied, reported, bytes_before, bytes_done"
            f" FROM jobs_g{self._g} WHERE owner = ? AND last_modified >= ?",
            (owner, since),
        )
        return map(Life._make, rows)

    def count_by_state(self) -> dict[str, int]:
        """Return how many jobs of all accounts are in each state that occurs."""
        return dict(self._all(f"SELECT state, count(*) FROM jobs_g{self._g} GROUP BY state"))

    def count_produced(self) -> dict[str, int]:
        """Return how many jobs of producers run, are lost, or ended in each way that occurs."""
        found = self._all(
            f"SELECT outcome, worker_lost, count(*) FROM jobs_g{self._g} WHERE source IS NOT NULL"
            " GROUP BY outcome, worker_lost"
        )
        return {outcome or ("lost" if lost else "running"): count for outcome, lost, count in found}

    def count_running_roots(self, owner: str) -> int:
        """Return how many jobs of the account run and are not below another one."""
        return self._count(
            f"jobs_g{self._g} WHERE owner = ? AND state = 'started' AND parent IS NULL", (owner,)
        )

    def count_running_by_owner(self) -> dict[str, int]:
        """Return how many jobs run for each account that has any."""
        return dict(
            self._all(
                f"SELECT owner, count(*) FROM jobs_g{self._g} WHERE state = 'started'"
                " GROUP BY owner"
            )
        )

    # Plain rows, without the resources that jobs name or the jobs below them

    def job_rows(self, owner: str) -> list[JobRow]:
        """Return all jobs of an account, in no order."""
        return self._job_rows("owner IN (...)", owner)

    def tree_rows(self, job: str) -> list[JobRow]:
        """Return all jobs of the tree that this job is in, in no order; none if it is gone."""
        return self._job_rows(
            f"root IN (SELECT root FROM jobs_g{self._g} WHERE uuid IN (...))", job
        )

    def _job_rows(self, where: str, key: str) -> list[JobRow]:
        return [
            JobRow(*row) for row in self._among(f"{select('jobs', self._g)} WHERE {where}", [key])
        ]

    def job_row(self, job: str) -> JobRow | None:
        """Return a job without what it names and what is below it, whoever has it."""
        rows = self._job_rows("uuid IN (...)", job)
        return rows[0] if rows else None

    def has_job(self, job: str) -> bool:
        return bool(self._among(f"SELECT 1 FROM jobs_g{self._g} WHERE uuid IN (...)", [job]))

    def parents(self, jobs: Sequence[str]) -> dict[str, str | None]:
        """Return these jobs and all above them, each with its parent."""
        return dict(
            self._among(
                "WITH RECURSIVE line (uuid, parent) AS ("
                f" SELECT uuid, parent FROM jobs_g{self._g} WHERE uuid IN (...) UNION"
                f" SELECT above.uuid, above.parent FROM jobs_g{self._g} AS above JOIN line"
                " ON above.uuid = line.parent) SELECT uuid, parent FROM line",
                jobs,
            )
        )

    def named_by(self, jobs: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return what these jobs name, whether it exists or not, as (job, kind, uuid)."""
        return self._among(
            f"SELECT job, kind, resource FROM job_resources_g{self._g} WHERE job IN (...)", jobs
        )

    def jobs_naming(self, resources: Iterable[str]) -> list[tuple[str, str, str | None]]:
        """Return the jobs that name one of these drives and servers, as (uuid, owner, parent).

        At most `NAMING_LIMIT` for each of them.
        """
        return [
            job
            for resource in resources
            for job in self._among(
                f"SELECT uuid, owner, parent FROM job_resources_g{self._g} AS named"
                f" JOIN jobs_g{self._g} ON uuid = job WHERE resource IN (...)"
                f" ORDER BY named.created DESC LIMIT {NAMING_LIMIT}",
                [resource],
            )
        ]

    def _trees_below(self, rows: list[Any]) -> list[JobTree]:
        """Return the trees below these jobs, in the same order.

        What is beside a sub-job without sub-jobs is not read: it may be a thousand jobs.
        """
        parents = self._parents_beside([row[2] for row in rows if row[0] != row[2]])
        roots = [row[2] for row in rows if row[0] == row[2] or row[0] in parents]
        family = self._among(
            f"SELECT {self._job} FROM jobs_g{self._g} WHERE root IN (...) ORDER BY ordinal",
            list(dict.fromkeys(roots)),
        )
        by_uuid = joined(map(_tree, family))
        return [by_uuid.get(row[0]) or _tree(row) for row in rows]

    def _parents_beside(self, roots: Iterable[str]) -> set[str]:
        """Return the jobs in these trees that have sub-jobs."""
        found = self._among(
            f"SELECT DISTINCT parent FROM jobs_g{self._g} WHERE root IN (...)",
            list(dict.fromkeys(roots)),
        )
        return {parent for (parent,) in found}


def _tree(row: Any) -> JobTree:
    """Return a job without the jobs below it."""
    *columns, resources = row
    return JobTree(JobRow(*columns), sorted(resources.split(",")) if resources else [], [])


def _in_states(states: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """Return a condition that an index serves: the state's for one, the list's for several."""
    if states is None:
        return "", ()
    if not states:
        return " AND 1 = 0", ()
    if len(states) == 1:
        return " AND state = ?", states
    return f" AND state || '' IN ({marks(states)})", states


def silent_jobs(cursor: Cursor, before: str, limit: int) -> list[str]:
    """Return jobs without sub-jobs that should have reported since then, longest silent first.

    One that never reported may be waiting for its turn while another copy into its pool runs.
    """
    cursor.execute(
        f"WITH leaf AS ({_running_leaves(live_generation(cursor))}),"
        " busy AS (SELECT DISTINCT pool FROM leaf WHERE begun AND reported >= ?)"
        " SELECT uuid FROM leaf WHERE reported < ?"
        " AND (begun OR NOT EXISTS (SELECT 1 FROM busy WHERE busy.pool = leaf.pool))"
        " ORDER BY reported, uuid LIMIT ?",
        (before, before, limit),
    )
    return [uuid for (uuid,) in cursor.fetchall()]


def running_by_pool(cursor: Cursor) -> dict[str, int]:
    """Return how many jobs without sub-jobs run in each pool."""
    leaves = _running_leaves(live_generation(cursor))
    cursor.execute(
        f"WITH leaf AS ({leaves}) SELECT pool, count(*) FROM leaf"
        " WHERE pool IS NOT NULL GROUP BY pool"
    )
    return dict(cursor.fetchall())


def lost_jobs(cursor: Cursor, limit: int) -> list[str]:
    """Return running jobs whose worker is presumed dead, longest silent first."""
    cursor.execute(
        f"SELECT uuid FROM jobs_g{live_generation(cursor)} WHERE state = 'started'"
        " AND worker_lost = 1 AND source IS NULL ORDER BY last_modified, uuid LIMIT ?",
        (limit,),
    )
    return [uuid for (uuid,) in cursor.fetchall()]


def _running_leaves(generation: int) -> str:
    """Return the SQL of running jobs without sub-jobs, with the pool of what they make."""
    jobs = f"jobs_g{generation}"
    return (
        "SELECT job.uuid, coalesce(job.reported, job.created) AS reported,"
        " job.began IS NOT NULL AS begun, drive.pool"
        f" FROM {jobs} job LEFT JOIN job_resources_g{generation} destination"
        " ON destination.job = job.uuid AND destination.role = 'destination'"
        f" LEFT JOIN drives_g{generation} drive ON drive.uuid = destination.resource"
        " WHERE job.state = 'started' AND job.source IS NULL"
        f" AND NOT EXISTS (SELECT 1 FROM {jobs} child WHERE child.root = job.root"
        " AND child.parent = job.uuid)"
    )
