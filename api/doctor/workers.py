"""Checks of the workers of a ledger in PostgreSQL. In SQLite the service itself does the work."""

from collections.abc import Iterable
from datetime import timedelta

from api.data.location import PostgresDatabase
from api.doctor.subject import Subject
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import recent_pools
from projections.views.jobs import lost_jobs, running_by_pool

SILENT = timedelta(seconds=30)
"""Workers report their pools every two seconds."""
NAMED_MAX = 10


def absent_workers(subject: Subject) -> Iterable[str]:
    """Look only where a service runs, which others may work for."""
    if not subject.runs or not isinstance(subject.database, PostgresDatabase):
        return
    with connected(subject.database.url) as connection:
        there = {seen.space.name for seen in recent_pools(connection.cursor(), SILENT)}
    if not there:
        yield "no worker is there: nothing is copied (`job-ledger worker` starts one)"
        return
    with subject.database.log() as log:
        running = running_by_pool(log.cursor())
    for pool, jobs in sorted(running.items()):
        if pool not in there:
            yield f"pool {pool} has no worker; jobs that run there: {jobs}"


def lost_workers(subject: Subject) -> Iterable[str]:
    """Jobs of workers that are presumed dead, and that no other worker has taken up."""
    with subject.database.log() as log:
        lost = lost_jobs(log.cursor(), NAMED_MAX)
    if lost:
        yield f"the workers of jobs are lost, and no other has taken them up: {', '.join(lost)}"
