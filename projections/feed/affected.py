"""What a change of one thing changes of others, and what is in motion; for the feed."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from projections.views.snapshot import Snapshot

IN_MOTION_LIMIT = 500
"""Jobs of an account that are told of again: those that have run longest."""
NAMING_LIMIT = 100
"""Jobs that are found to name a thing that is gone, the newest first."""


class Named(NamedTuple):
    """A job, drive or server, and whose it is; `kind` is the first word of its stream's name."""

    kind: str
    uuid: str
    owner: str


def ancestors(snapshot: Snapshot, jobs: Sequence[str]) -> dict[str, str | None]:
    """These jobs and all above them, each with its parent."""
    rows = snapshot.select(
        "WITH RECURSIVE line (uuid, parent) AS ("
        " SELECT uuid, parent FROM jobs_g{g} WHERE uuid IN (...) UNION"
        " SELECT above.uuid, above.parent FROM jobs_g{g} AS above JOIN line"
        " ON above.uuid = line.parent) SELECT uuid, parent FROM line",
        jobs,
    )
    return dict(rows)


def drives_and_servers(snapshot: Snapshot, uuids: Sequence[str]) -> list[Named]:
    """Those of these drives and servers that still exist."""
    return [
        Named(kind, uuid, owner)
        for kind in ("drive", "server")
        for uuid, owner in snapshot.select(
            f"SELECT uuid, owner FROM {kind}s_g{{g}} WHERE uuid IN (...)", uuids
        )
    ]


def jobs_naming(snapshot: Snapshot, resources: Iterable[str]) -> list[tuple[str, str, str | None]]:
    """The jobs that name one of these drives and servers, as (uuid, owner, parent).

    At most `NAMING_LIMIT` for each of them.
    """
    return [
        job
        for resource in resources
        for job in snapshot.select(
            "SELECT uuid, owner, parent FROM job_resources_g{g} AS said"
            " JOIN jobs_g{g} ON uuid = job WHERE resource IN (...)"
            f" ORDER BY said.created DESC LIMIT {NAMING_LIMIT}",
            [resource],
        )
    ]


def in_motion(snapshot: Snapshot, owner: str) -> list[Named]:
    """An account's running jobs, what they name of its own, and drives whose image is made.

    At most `IN_MOTION_LIMIT` jobs and as many drives, the oldest.
    """
    jobs = (
        "SELECT uuid FROM jobs_g{g} WHERE owner IN (...) AND state = 'started'"
        f" ORDER BY last_modified, uuid DESC LIMIT {IN_MOTION_LIMIT}"
    )
    running = [Named("job", uuid, owner) for (uuid,) in snapshot.select(jobs, [owner])]
    named = snapshot.select(
        f"SELECT DISTINCT resource FROM job_resources_g{{g}} WHERE job IN ({jobs})", [owner]
    )
    # The `||` keeps it to the index of the drives that are not finished: they are few.
    unfinished = snapshot.select(
        "SELECT uuid FROM drives_g{g}"
        " WHERE (ready = 0 OR resizing IS NOT NULL) AND owner || '' IN (...)"
        f" ORDER BY created LIMIT {IN_MOTION_LIMIT}",
        [owner],
    )
    uuids = {uuid for (uuid,) in (*named, *unfinished)}
    others = drives_and_servers(snapshot, sorted(uuids))
    return running + [thing for thing in others if thing.owner == owner]
