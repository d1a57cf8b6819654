"""Reads for retention: trees that have ended, deleted resources, and the jobs that name them."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from ledger.domain.retention_policy import Departed, JobInTree, Tree
from ledger.domain.stamps import moment_of
from ledger.store.log import streamed
from ledger.store.parameters import among, marks, timestamp
from ledger.store.seam import Cursor, RowKey
from ledger.store.tables.stamps import moment_of_fault
from ledger.store.tables.streams import end_position
from projections.views.generations import live_generation

_ROOT_END = end_position("'job-' || tree.uuid")
_JOB_END = end_position("'job-' || job.uuid")


PAGE = 500
"""Trees, or deleted things, that are read from one snapshot."""


class Key(NamedTuple):
    """A place in the order of what is over: since when, and its name. Neither ever changes."""

    at: str
    name: str


BEGINNING = Key("", "")


def ended_trees(
    cursor: Cursor, after: Key, *, cutoff: datetime, reached: int
) -> tuple[list[Tree], Key | None]:
    """Return trees in which all jobs had ended before the cutoff, and where to go on.

    The ledger must also have had those ends when it `reached` this position, at the cutoff: a clock
    that was slow makes no tree old. What followed an end makes no tree younger.
    """
    g = live_generation(cursor)
    cursor.execute(
        f"SELECT ended, uuid FROM jobs_g{g} AS tree"
        " WHERE parent IS NULL AND state <> 'started' AND ended < ?1 AND (ended, uuid) > (?3, ?4)"
        f" AND NOT EXISTS (SELECT 1 FROM jobs_g{g} AS job WHERE job.root = tree.uuid"
        f"  AND (job.ended IS NULL OR job.ended >= ?1 OR {_JOB_END} > ?2))"
        " ORDER BY ended, uuid LIMIT ?5",
        (timestamp(cutoff), reached, *after, PAGE),
    )
    roots = [Key(*row) for row in cursor.fetchall()]
    jobs = among(
        cursor,
        f"SELECT root, owner, uuid, parent, ended FROM jobs_g{g}"
        " WHERE root IN (...) ORDER BY root, parent IS NOT NULL, ordinal, uuid",
        [root.name for root in roots],
    )
    trees = []
    for _, rows in groupby(jobs, key=itemgetter(0)):
        tree = list(rows)
        trees.append(Tree(tree[0][1], [_job(*row[2:]) for row in tree]))
    return trees, _next_of(roots)


def _next_of(page: Sequence[Key]) -> Key | None:
    return page[-1] if len(page) == PAGE else None


def _newest_of(stream: str) -> str:
    """Return the SQL of the position of a stream's newest event."""
    return (
        "coalesce((SELECT position FROM stored_events"
        f" WHERE originator_id = {stream} ORDER BY originator_version DESC LIMIT 1), 0)"
    )


def first_end(cursor: Cursor, parked: Sequence[str]) -> datetime | None:
    """Return the end of the tree that is due next, leaving out trees with a parked job.

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


def departed(
    cursor: Cursor, after: Key, *, cutoff: datetime, reached: int
) -> tuple[list[Departed], Key | None]:
    """Return what was deleted before the cutoff, with the roots of the jobs that name it."""
    g = live_generation(cursor)
    cursor.execute(
        f"SELECT at, stream FROM departed_g{g} WHERE at < ? AND (at, stream) > (?, ?)"
        f" AND {_newest_of('stream')} <= ? ORDER BY at, stream LIMIT ?",
        (timestamp(cutoff), *after, reached, PAGE),
    )
    gone = [Key(*row) for row in cursor.fetchall()]
    named_by: dict[str, set[str]] = {}
    for resource, root in among(
        cursor,
        f"SELECT resource, root FROM job_resources_g{g} JOIN jobs_g{g} ON uuid = job"
        " WHERE resource IN (...)",
        [_uuid_of(stream) for _, stream in gone],
    ):
        named_by.setdefault(resource, set()).add(root)
    found = [
        Departed(stream, datetime.fromisoformat(at), frozenset(named_by.get(_uuid_of(stream), ())))
        for at, stream in gone
    ]
    return found, _next_of(gone)


def _uuid_of(stream: str) -> str:
    return stream.partition("-")[2]


def rows_that_show(cursor: Cursor, stream: str) -> list[RowKey]:
    """Return the row keys of a stream whose events cannot be read, also from its log entries."""
    g = live_generation(cursor)
    uuid = _uuid_of(stream)
    keys: list[RowKey] = [("jobs", (uuid,)), ("stops", (uuid,)), ("departed", (stream,))]
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
