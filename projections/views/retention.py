"""Reads for retention: trees that have ended, deleted resources, and the jobs that name them."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from ledger.domain.retention_policy import Departed, JobInTree, Tree
from ledger.domain.stamps import moment_of
from ledger.store.log import streamed
from ledger.store.parameters import among, marks, timestamp
from ledger.store.seam import Cursor, RowKey
from ledger.store.tables.stamps import moment_of_fault
from ledger.store.tables.streams import end_position
from ledger.store.tables.tiles import position_at
from projections.views.generations import live_generation

_ROOT_END = end_position("'job-' || tree.uuid")
_JOB_END = end_position("'job-' || job.uuid")


def ended_trees(cursor: Cursor, cutoff: datetime) -> Iterator[Tree]:
    """Yield every tree in which all jobs had ended before the cutoff, with all its jobs.

    The ledger must also have had those ends by then: a clock that was slow makes no tree old. What
    has followed an end makes no tree young.
    """
    g = live_generation(cursor)
    reached = position_at(cursor, cutoff)
    cursor.execute(
        f"SELECT uuid FROM jobs_g{g} AS tree"
        " WHERE parent IS NULL AND state <> 'started' AND ended < ?1 AND NOT EXISTS"
        f" (SELECT 1 FROM jobs_g{g} AS job WHERE job.root = tree.uuid AND (job.ended IS NULL"
        f"  OR job.ended >= ?1 OR {_JOB_END} > ?2))"
        " ORDER BY ended",
        (timestamp(cutoff), reached),
    )
    roots = [uuid for (uuid,) in cursor.fetchall()]
    jobs = among(
        cursor,
        f"SELECT root, owner, uuid, parent, ended FROM jobs_g{g}"
        " WHERE root IN (...) ORDER BY root, parent IS NOT NULL, ordinal, uuid",
        roots,
    )
    for _, rows in groupby(jobs, key=itemgetter(0)):
        tree = list(rows)
        yield Tree(tree[0][1], [_job(*row[2:]) for row in tree])


def _newest_of(stream: str) -> str:
    """Return the SQL of the position of a stream's newest event."""
    return (
        "coalesce((SELECT position FROM stored_events"
        f" WHERE originator_id = {stream} ORDER BY originator_version DESC LIMIT 1), 0)"
    )


def first_end(cursor: Cursor, parked: Sequence[str]) -> datetime | None:
    """Return when the tree that is due first ended, leaving out trees with a parked job.

    A tree whose last stamp is a fault ended at that event's moment, if that is later. The faults of
    earlier versions are the only ones, and with them roots ended last.
    """
    g = live_generation(cursor)
    first = None
    ends = streamed(
        cursor,
        f"SELECT ended, (SELECT max(ended) FROM jobs_g{g} WHERE root = tree.uuid),"
        f" {moment_of_fault(_ROOT_END)} FROM jobs_g{g} AS tree"
        " WHERE parent IS NULL AND state <> 'started' AND NOT EXISTS"
        f" (SELECT 1 FROM jobs_g{g} WHERE root = tree.uuid AND ended IS NULL)"
        f" AND root NOT IN (SELECT root FROM jobs_g{g} WHERE uuid IN ({marks(parked)}))"
        " ORDER BY ended",
        parked,
    )
    with closing(ends):
        for of_root, of_tree, moment in ends:
            if first is not None and datetime.fromisoformat(of_root) >= first:
                break  # no tree ends before its root
            ended = datetime.fromisoformat(of_tree)
            ended = ended if moment is None else max(ended, moment_of(moment))
            first = ended if first is None else min(first, ended)
    return first


def _job(uuid: str, parent: str | None, ended: str | None) -> JobInTree:
    return JobInTree(uuid, parent, None if ended is None else datetime.fromisoformat(ended))


def departed(cursor: Cursor, cutoff: datetime) -> list[Departed]:
    """Return what was deleted before the cutoff, with the roots of the jobs that name it."""
    g = live_generation(cursor)
    reached = position_at(cursor, cutoff)
    cursor.execute(
        f"SELECT stream, at FROM departed_g{g} WHERE at < ? AND {_newest_of('stream')} <= ?"
        " ORDER BY at",
        (timestamp(cutoff), reached),
    )
    gone = {stream.partition("-")[2]: (stream, at) for stream, at in cursor.fetchall()}
    named_by: dict[str, set[str]] = {}
    for resource, root in among(
        cursor,
        f"SELECT resource, root FROM job_resources_g{g} JOIN jobs_g{g} ON uuid = job"
        " WHERE resource IN (...)",
        list(gone),
    ):
        named_by.setdefault(resource, set()).add(root)
    return [
        Departed(stream, datetime.fromisoformat(at), frozenset(named_by.get(uuid, ())))
        for uuid, (stream, at) in gone.items()
    ]


def rows_that_show(cursor: Cursor, stream: str) -> list[RowKey]:
    """Return the row keys of a stream whose events cannot be read, also from its log entries."""
    g = live_generation(cursor)
    uuid = stream.partition("-")[2]
    keys: list[RowKey] = [("jobs", (uuid,)), ("departed", (stream,))]
    cursor.execute(f"SELECT job, place FROM job_resources_g{g} WHERE job = ?", (uuid,))
    keys += [("job_resources", tuple(key)) for key in cursor.fetchall()]
    cursor.execute(
        f"SELECT owner, key, value, created, uuid FROM labels_g{g} WHERE uuid = ?", (uuid,)
    )
    keys += [("labels", tuple(key)) for key in cursor.fetchall()]
    cursor.execute(
        f"SELECT owner, recorded_at, stream, version FROM audit_log_g{g} WHERE stream = ?",
        (stream,),
    )
    return keys + [("audit_log", tuple(key)) for key in cursor.fetchall()]
