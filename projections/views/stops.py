"""Which jobs are asked to stop, looked up in the jobs above them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ledger.domain.aggregates.produced import Produced
from ledger.domain.producers.stops import Stop, earliest
from ledger.store.parameters import among
from ledger.store.seam import Cursor
from projections.rows import read_produced
from projections.tables import StopRow
from projections.views.generations import live_generation


def stops_of(cursor: Cursor, jobs: Sequence[str]) -> dict[str, Stop]:
    """Return why each of these jobs is asked to stop; the others are not.

    The rule is that of `ledger.domain.producers.stops.asked_to_stop`.
    """
    g = live_generation(cursor)
    found: dict[str, list[Stop]] = {}
    ends: dict[str, datetime | None] = {}
    for job, ended, *stop in among(
        cursor,
        "WITH RECURSIVE line (job, ended, uuid, parent) AS ("
        f" SELECT uuid, ended, uuid, parent FROM jobs_g{g}"
        "  WHERE uuid IN (...) AND (cancellable = 1 OR unattended = 1)"
        f" UNION ALL SELECT job, ended, parent, {_parent_of_parent(g)} FROM line"
        "  WHERE parent IS NOT NULL)"
        " SELECT line.job, line.ended, stop.job, stop.at, stop.by, stop.grace_s, stop.itself,"
        f" stop.below FROM line JOIN stops_g{g} AS stop ON stop.job = line.uuid"
        " WHERE CASE WHEN line.job = line.uuid THEN stop.itself ELSE stop.below END = 1",
        jobs,
    ):
        found.setdefault(job, []).append(_stop(StopRow(*stop)))
        ends[job] = None if ended is None else datetime.fromisoformat(ended)
    earliest_ones = {job: earliest(stops, ends[job]) for job, stops in found.items()}
    return {job: stop for job, stop in earliest_ones.items() if stop is not None}


def _parent_of_parent(g: int) -> str:
    """Return SQL for the next job above a line.

    It is looked up for each: PostgreSQL would join a long line to all jobs that there are.
    """
    return f"(SELECT above.parent FROM jobs_g{g} AS above WHERE above.uuid = line.parent)"


def _stop(row: StopRow) -> Stop:
    at = datetime.fromisoformat(row.at)
    return Stop(row.job, at, row.by, row.grace_s, bool(row.itself), bool(row.below))


def standings_of(cursor: Cursor, jobs: Sequence[str]) -> dict[str, Produced]:
    """Return how these jobs of producers stand."""
    g = live_generation(cursor)
    rows = among(
        cursor,
        f"SELECT uuid, registered, standing FROM produced_g{g} JOIN registrations_g{g} USING (uuid)"
        " WHERE uuid IN (...)",
        jobs,
    )
    return {uuid: read_produced(registered, standing) for uuid, registered, standing in rows}


class Below(NamedTuple):
    """How many jobs run below a job: those that can be asked to stop, and those that cannot."""

    askable: int
    not_cancellable: int


def running_below(cursor: Cursor, job: str) -> Below:
    """Count what runs below a job. This reads its tree."""
    g = live_generation(cursor)
    cursor.execute(
        "SELECT uuid, parent, state = 'started', cancellable = 1 OR unattended = 1"
        f" FROM jobs_g{g} WHERE root = (SELECT root FROM jobs_g{g} WHERE uuid = ?)",
        (job,),
    )
    children: dict[str, list[tuple[str, bool, bool]]] = {}
    for uuid, parent, running, askable in cursor.fetchall():
        if parent is not None:
            children.setdefault(parent, []).append((uuid, bool(running), bool(askable)))
    counts = {True: 0, False: 0}
    waiting = [job]
    while waiting:
        for uuid, running, askable in children.get(waiting.pop(), ()):
            waiting.append(uuid)
            counts[askable] += running
    return Below(counts[True], counts[False])


def unattended_stops(cursor: Cursor, limit: int) -> list[str]:
    """Return jobs that are asked to stop and on which nobody works, those of one tree together."""
    g = live_generation(cursor)
    cursor.execute(
        "WITH RECURSIVE line (job, root, uuid, parent) AS ("
        f" SELECT uuid, root, uuid, parent FROM jobs_g{g} WHERE unattended = 1"
        f" UNION ALL SELECT job, root, parent, {_parent_of_parent(g)} FROM line"
        "  WHERE parent IS NOT NULL)"
        " SELECT DISTINCT root, job FROM line"
        " WHERE (SELECT CASE WHEN line.job = line.uuid THEN itself ELSE below END"
        f"  FROM stops_g{g} AS stop WHERE stop.job = line.uuid) = 1"
        " ORDER BY root, job LIMIT ?",
        (limit,),
    )
    return [job for _, job in cursor.fetchall()]
