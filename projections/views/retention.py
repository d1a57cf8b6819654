"""Reads for retention: what has ended, what stays for a series, and what names what is gone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from ledger.domain.aggregates.housekeeping import Terms
from ledger.domain.retention_policy import (
    SERIES_MOST,
    Departed,
    JobInTree,
    Run,
    Tree,
    stays,
)
from ledger.domain.stamps import moment_of
from ledger.store.parameters import among, marks, timestamp
from ledger.store.seam import Cursor, RowKey
from ledger.store.tables.stamps import moment_of_fault
from ledger.store.tables.streams import end_position
from projections.views.generations import live_generation

_ROOT_END = end_position("'job-' || tree.uuid")
_JOB_END = end_position("'job-' || job.uuid")


PAGE = 500
"""Trees, or deleted things, that are read from one snapshot."""
FIRST_ENDS = 100
"""Trees that are looked at together to find the one that is due next."""


class Key(NamedTuple):
    """A place in the order of what is over: since when, and its name. Neither ever changes."""

    at: str
    name: str


BEGINNING = Key("", "")


Floors = Mapping[str, Key]
"""Of accounts with more series than are kept: the last run of the last series that is."""


def ended_trees(
    cursor: Cursor, after: Key, *, cutoff: datetime, reached: int, terms: Terms, floors: Floors
) -> tuple[list[Tree], Key | None]:
    """Return trees in which all jobs had ended before the cutoff, and where to go on.

    The ledger must also have had those ends when it `reached` this position, at the cutoff: a clock
    that was slow makes no tree old. What followed an end makes no tree younger. Trees that stay by
    these terms for their series are left out.
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
    named = [root.name for root in roots]
    staying = set(staying_among(cursor, named, terms, cutoff + terms.keep, floors))
    jobs = among(
        cursor,
        f"SELECT root, owner, uuid, parent, ended FROM jobs_g{g}"
        " WHERE root IN (...) ORDER BY root, parent IS NOT NULL, ordinal, uuid",
        [root for root in named if root not in staying],
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


def floors_of(cursor: Cursor) -> Floors:
    """Return the floors; most accounts have none, since all of their series are kept."""
    g = live_generation(cursor)
    last = (
        "SELECT owner, series, max(ended) AS ended"
        f" FROM runs_g{g} WHERE is_root = 1 GROUP BY owner, series"
    )
    cursor.execute(
        f"SELECT owner FROM ({last}) AS last GROUP BY owner HAVING count(*) > ?", (SERIES_MOST,)
    )
    floors = {}
    for owner in [owner for (owner,) in cursor.fetchall()]:
        cursor.execute(
            f"SELECT ended, series FROM ({last}) AS last WHERE owner = ?"
            " ORDER BY ended DESC, series DESC LIMIT 1 OFFSET ?",
            (owner, SERIES_MOST - 1),
        )
        floors[owner] = Key(*cursor.fetchone())
    return floors


def staying_among(
    cursor: Cursor, roots: Sequence[str], terms: Terms, moment: datetime, floors: Floors
) -> Iterator[str]:
    """Yield those of these root jobs, all of which have ended, whose trees stay for a series.

    Runs that ended after that moment do not count: a plan is the same whenever it is made.
    """
    runs = f"runs_g{live_generation(cursor)}"
    same = (
        f"FROM {runs} WHERE is_root = 1 AND owner = run.owner AND series = run.series"
        " AND ended <= ?"
    )
    newer = "AND (ended, uuid) > (run.ended, run.uuid)"
    until = timestamp(moment)
    for uuid, owner, series, is_last, count, latest in among(
        cursor,
        "WITH named (uuid) AS (VALUES ...)"
        " SELECT run.uuid, owner, series, succeeded = 1 AND NOT EXISTS"
        f" (SELECT 1 {same} AND succeeded = 1 {newer}),"
        f" (SELECT count(*) FROM (SELECT 1 {same} {newer} LIMIT {terms.keep_last}) AS newer),"
        f" (SELECT max(ended) {same}) FROM named JOIN {runs} AS run ON run.uuid = named.uuid"
        " WHERE is_root = 1 AND ended <= ?",
        roots,
        *(until, until, until, until),
        mark="(?)",
    ):
        is_crowded_out = owner in floors and Key(latest, series) < floors[owner]
        run = Run(count, datetime.fromisoformat(latest), bool(is_last), is_crowded_out)
        if stays(run, terms, moment):
            yield uuid


def first_end(
    cursor: Cursor, parked: Sequence[str], terms: Terms, moment: datetime
) -> datetime | None:
    """Return the end of the tree that is due next.

    Left out are trees with a parked job, and those that stay at this moment for a series, whether
    or not the series is crowded out: it would take long to see that. A tree whose last stamp is a
    fault ended at that event's moment, if that is later. The faults of earlier versions are the
    only ones, and with them roots ended last.
    """
    first, after = None, BEGINNING
    while roots := _ended_roots(cursor, after):
        staying = set(staying_among(cursor, [root.name for root in roots], terms, moment, {}))
        for root in roots:
            if first is not None and datetime.fromisoformat(root.at) >= first:
                return first  # no tree ends before its root
            ended = None if root.name in staying else _end_of_tree(cursor, root.name, parked)
            if ended is not None:
                first = ended if first is None else min(first, ended)
        after = roots[-1]
    return first


def _ended_roots(cursor: Cursor, after: Key) -> list[Key]:
    cursor.execute(
        f"SELECT ended, uuid FROM jobs_g{live_generation(cursor)} WHERE parent IS NULL"
        " AND state <> 'started' AND (ended, uuid) > (?, ?) ORDER BY ended, uuid LIMIT ?",
        (*after, FIRST_ENDS),
    )
    return [Key(*row) for row in cursor.fetchall()]


def _end_of_tree(cursor: Cursor, root: str, parked: Sequence[str]) -> datetime | None:
    """Return when the last job of this tree ended; None if one runs, or is parked."""
    g = live_generation(cursor)
    cursor.execute(
        f"SELECT (SELECT max(ended) FROM jobs_g{g} WHERE root = tree.uuid),"
        f" {moment_of_fault(_ROOT_END)} FROM jobs_g{g} AS tree WHERE uuid = ? AND NOT EXISTS"
        f" (SELECT 1 FROM jobs_g{g} WHERE root = tree.uuid AND ended IS NULL)"
        f" AND root NOT IN (SELECT root FROM jobs_g{g} WHERE uuid IN ({marks(parked)}))",
        (root, *parked),
    )
    found = cursor.fetchone()
    if found is None:
        return None
    ended = datetime.fromisoformat(found[0])
    return ended if found[1] is None else max(ended, moment_of(found[1]))


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
    keys.append(("runs", (uuid,)))
    keys += [("produced", (uuid,)), ("registrations", (uuid,))]
    cursor.execute(
        f"SELECT owner, recorded_at, stream, version FROM audit_log_g{g} WHERE stream = ?",
        (stream,),
    )
    return keys + [("audit_log", tuple(key)) for key in cursor.fetchall()]
