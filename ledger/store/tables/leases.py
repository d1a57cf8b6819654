"""The table of leases, and the row of the service time by which they are due.

**Each transaction that reads or writes due times calls `be_there` first.** That moves the service
time on, and takes a lock that all such transactions take: no row changes beside them. The rules are
in `tests/models/README.md`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, assert_never

from ledger.domain.producers.leases import ALIVE, GRACE, Due, Expect, Forget, Lease, LeaseChange
from ledger.domain.stamps import microseconds, moment_of
from ledger.store.parameters import VALUES_MAX, among, marks, sliced
from ledger.store.postgres.cursor import PgCursor
from ledger.store.postgres.server_clock import CLOCK
from ledger.store.seam import Cursor, Row

COUNTED = timedelta(seconds=2.5)
"""So much at most counts between two looks at the clock; for the rest the service was away."""

_US = timedelta(microseconds=1)
_COUNTED_US = COUNTED // _US
_GRACE_US = GRACE // _US
_BE_THERE = (
    "UPDATE service_time SET away = away + CASE"  # noqa: S608 - constants
    " WHEN now < seen THEN now - seen"
    f" WHEN now - seen > {_COUNTED_US} THEN now - seen - {_COUNTED_US}"
    " ELSE 0 END, seen = now FROM (SELECT {} AS now) AS clock"
)
_BE_THERE_HERE = _BE_THERE.format("?1")
_BE_THERE_THERE = _BE_THERE.format(f"coalesce(?1::bigint, {CLOCK})")
_NOW = "(SELECT seen - away FROM service_time)"
_SAME = "CASE WHEN leases.attempt = excluded.attempt THEN leases.{0} END"
_EXPECT = (
    "INSERT INTO leases (job, root, attempt, awaits, due, lease_s, lost, heard, instance, host,"  # noqa: S608 - constants
    f" pid, deadline) VALUES (?1, ?2, ?3, ?4, {_NOW} + ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    " ON CONFLICT (job) DO UPDATE SET attempt = excluded.attempt, awaits = excluded.awaits,"
    " due = excluded.due, lease_s = excluded.lease_s, lost = excluded.lost,"
    f" heard = coalesce(excluded.heard, {_SAME.format('heard')}),"
    f" live = {_SAME.format('live')}, buffered = {_SAME.format('buffered')},"
    " instance = excluded.instance, host = excluded.host, pid = excluded.pid,"
    f" figures = {_SAME.format('figures')}, waiting = NULL, deadline = excluded.deadline"
)
_IS_DUE = "SELECT 1 FROM leases WHERE job = ? AND due = ?"
_IS_DUE_OR_FAIL = f"SELECT 1 / (CASE WHEN EXISTS ({_IS_DUE}) THEN 1 ELSE 0 END)"
"""For a pipeline, which has no results before its end."""
_SELECT = f"SELECT {', '.join(Lease.__struct_fields__)} FROM leases"  # noqa: S608 - constants
_RENEW = (
    "UPDATE leases SET due = CASE"  # noqa: S608 - constants
    f" WHEN CAST(?3 AS bigint) IS NULL OR (awaits = 'end' AND due > {_NOW} + ?3) THEN due"
    f" ELSE {_NOW} + ?3 END,"
    " heard = coalesce(CAST(?4 AS bigint), heard), live = coalesce(CAST(?5 AS bigint), live),"
    " buffered = coalesce(CAST(?6 AS bigint), buffered), figures = coalesce(?7, figures),"
    " waiting = CASE WHEN CAST(?3 AS bigint) IS NULL THEN waiting ELSE ?8 END"
    " WHERE job = ?1 AND attempt = ?2 AND (awaits IN ('beat', 'end') OR CAST(?3 AS bigint) IS NULL)"
)


Key = tuple[str, int]
"""A job and an attempt."""


class Renewal(NamedTuple):
    """What a report changes in the row of its attempt.

    `within_us` is for how long it holds; None if it was buffered, and so renews nothing.
    """

    job: str
    attempt: int
    within_us: int | None
    heard: datetime | None = None
    live: int | None = None
    buffered: int | None = None
    figures: bytes | None = None
    waiting: bytes | None = None

    @property
    def key(self) -> Key:
        return self.job, self.attempt


def be_there(cursor: Cursor, clock: int | None) -> None:
    """Note that the service is there, before anything that goes by the service time.

    `clock` is the time in microseconds since 1970; None for that of a database server.
    """
    is_server = isinstance(cursor, PgCursor)
    cursor.execute(_BE_THERE_THERE if is_server else _BE_THERE_HERE, (clock,))


def service_now(cursor: Cursor) -> int:
    """Return the service time of this transaction, in microseconds."""
    cursor.execute("SELECT seen - away FROM service_time")
    return int(cursor.fetchone()[0])


def apply(cursor: Cursor, changes: Sequence[LeaseChange]) -> None:
    """Apply the changes, in the order of their jobs."""
    for change in sorted(changes, key=_job):  # those of a job stay in order
        match change:
            case Expect():
                cursor.execute(_EXPECT, _row(change))
            case Forget(job=job):
                cursor.execute("DELETE FROM leases WHERE job = ?", (job,))
            case _:
                assert_never(change)


def _job(change: LeaseChange) -> str:
    return change.job


def _row(change: Expect) -> Row:
    return (
        change.job,
        change.root,
        change.attempt,
        change.awaits,
        timedelta(seconds=change.within_s) // _US,
        change.lease_s,
        _microseconds(change.lost),
        _microseconds(change.heard),
        change.instance,
        change.host,
        change.pid,
        _microseconds(change.deadline),
    )


def are_due(cursor: Cursor, dues: Iterable[Due]) -> bool:
    """Return whether nobody was heard of whom these rows expect something."""
    for due in dues:
        cursor.execute(_IS_DUE, (due.job, due.due))
        if cursor.fetchone() is None:
            return False
    return True


def require_due(cursor: Cursor, dues: Iterable[Due]) -> None:
    """Do the same in a pipeline: fail by a division by zero."""
    for due in dues:
        cursor.execute(_IS_DUE_OR_FAIL, (due.job, due.due))


def find(cursor: Cursor, job: str) -> Lease | None:
    return find_many(cursor, [job]).get(job)


def find_many(cursor: Cursor, jobs: Sequence[str]) -> Mapping[str, Lease]:
    """Return the rows of these jobs, those that there are."""
    found = among(cursor, f"{_SELECT} WHERE job IN (...)", jobs)
    return {row[0]: _lease(row) for row in found}


def lost(cursor: Cursor) -> list[Lease]:
    """Return the rows of all attempts that are lost, by host."""
    cursor.execute(f"{_SELECT} WHERE lost IS NOT NULL ORDER BY host IS NULL, host, job")
    return [_lease(row) for row in cursor.fetchall()]


def alive(cursor: Cursor, root: str) -> list[str]:
    """Return the jobs of a tree on which somebody works as far as is known."""
    cursor.execute(
        f"SELECT job FROM leases WHERE root = ? AND awaits IN ({marks(ALIVE)})",  # noqa: S608 - marks
        (root, *ALIVE),
    )
    return [job for (job,) in cursor.fetchall()]


def of_instance(cursor: Cursor, instance: str, limit: int) -> list[str]:
    """Return jobs, up to a limit, that this process works on, as far as is recorded."""
    cursor.execute(
        "SELECT job FROM leases WHERE instance = ? AND awaits <> 'start' ORDER BY job LIMIT ?",
        (instance, limit),
    )
    return [job for (job,) in cursor.fetchall()]


def some_are_there(cursor: Cursor) -> bool:
    """Return whether anything is expected of anybody."""
    cursor.execute("SELECT 1 FROM leases LIMIT 1")
    return cursor.fetchone() is not None


def overdue(cursor: Cursor, limit: int) -> Iterator[Lease]:
    """Yield rows whose time is over, the grace included, longest first."""
    cursor.execute(f"{_SELECT} WHERE due <= {_NOW} - {_GRACE_US} ORDER BY due LIMIT ?", (limit,))
    yield from map(_lease, cursor.fetchall())


def past_deadline(cursor: Cursor, limit: int) -> Iterator[Lease]:
    """Yield rows of jobs that are to be asked to stop, because their deadline has passed."""
    cursor.execute(
        f"{_SELECT} WHERE deadline <= (SELECT seen FROM service_time) ORDER BY deadline LIMIT ?",  # noqa: S608 - constants
        (limit,),
    )
    yield from map(_lease, cursor.fetchall())


def drop_words(cursor: Cursor, jobs: Sequence[str]) -> None:
    """Drop what these jobs last said of themselves, as it may be in words that must go."""
    for some in sliced(sorted(jobs), VALUES_MAX):
        cursor.execute(f"UPDATE leases SET figures = NULL WHERE job IN ({marks(some)})", some)  # noqa: S608 - marks


def drop_deadline(cursor: Cursor, job: str) -> None:
    """Ask the job no more: it was asked, or cannot be."""
    cursor.execute("UPDATE leases SET deadline = NULL WHERE job = ?", (job,))


def renew(cursor: Cursor, renewals: Iterable[Renewal]) -> Mapping[Key, Lease | None]:
    """Write what was reported; return the rows that were not renewed, as they are.

    That is where there is no row, or one of another attempt, or of an attempt that is lost.
    """
    given = sorted(renewals, key=lambda one: one.key)
    found = find_many(cursor, [one.job for one in given])
    fitting = [one for one in given if _fits(one, found.get(one.job))]
    cursor.executemany(_RENEW, [_values(one) for one in fitting])
    written = {one.key for one in fitting}
    return {one.key: found.get(one.job) for one in given if one.key not in written}


def _fits(one: Renewal, lease: Lease | None) -> bool:
    if lease is None or lease.attempt != one.attempt:
        return False
    return one.within_us is None or lease.awaits in ALIVE


def _values(one: Renewal) -> Row:
    return (
        one.job,
        one.attempt,
        one.within_us,
        _microseconds(one.heard),
        one.live,
        one.buffered,
        one.figures,
        one.waiting,
    )


def _lease(row: Sequence[Any]) -> Lease:
    said = dict(zip(Lease.__struct_fields__, row, strict=True))
    for moment in ("lost", "heard", "deadline"):
        said[moment] = None if said[moment] is None else moment_of(said[moment])
    return Lease(**said)


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment)
