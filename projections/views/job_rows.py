"""Jobs' rows by themselves, and what is shown of the things they name."""

from collections.abc import Sequence

from projections.tables import JobRow
from projections.views.snapshot import Snapshot

_COLUMNS = ", ".join(JobRow._fields)


def jobs_of(snapshot: Snapshot, owner: str) -> list[JobRow]:
    """All jobs of an account, in no order."""
    rows = snapshot.select(f"SELECT {_COLUMNS} FROM jobs_g{{g}} WHERE owner IN (...)", [owner])
    return [JobRow._make(row) for row in rows]


def family(snapshot: Snapshot, job: str) -> list[JobRow]:
    """All jobs of the tree that this one is in; none if it is not shown."""
    rows = snapshot.select(
        f"SELECT {_COLUMNS} FROM jobs_g{{g}}"
        " WHERE root IN (SELECT root FROM jobs_g{g} WHERE uuid IN (...))",
        [job],
    )
    return [JobRow._make(row) for row in rows]


def is_shown(snapshot: Snapshot, job: str) -> bool:
    return bool(snapshot.select("SELECT 1 FROM jobs_g{g} WHERE uuid IN (...)", [job]))


def named_by(snapshot: Snapshot, jobs: Sequence[str]) -> list[tuple[str, str, str]]:
    """What these jobs name, whether it exists or not, as (job, kind, uuid)."""
    return snapshot.select(
        "SELECT job, kind, resource FROM job_resources_g{g} WHERE job IN (...)", jobs
    )


def existing(snapshot: Snapshot, uuids: Sequence[str]) -> set[str]:
    """Those of these drives and servers that exist."""
    return {
        uuid
        for kind in ("drives", "servers")
        for (uuid,) in snapshot.select(f"SELECT uuid FROM {kind}_g{{g}} WHERE uuid IN (...)", uuids)
    }


def departed(snapshot: Snapshot, streams: Sequence[str]) -> set[str]:
    """Those of these streams whose drive, server or tag was deleted, but not discarded yet."""
    rows = snapshot.select("SELECT stream FROM departed_g{g} WHERE stream IN (...)", streams)
    return {stream for (stream,) in rows}
