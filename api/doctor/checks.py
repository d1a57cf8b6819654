"""All checks, in order. What cannot be read is reported as a problem, not raised as an error."""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from api.data.location import Database
from api.doctor import directory, images, retention, store, workers
from api.doctor.findings import Check, Findings
from api.doctor.probes import examine_ledger, examine_pool
from api.doctor.producers import lost_jobs
from api.doctor.subject import Subject
from api.doctor.users import largest_users
from api.service.limits import Limits
from api.service.service import Service
from api.service.version import VERSION
from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.domain.errors import Expected
from ledger.images.pools import Pool
from ledger.store.clock import SeenClock, TimeSource, see_clock
from ledger.store.schema import SCHEMA_VERSION
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.status import RetentionStatus, read_status

T = TypeVar("T")

Checks = Mapping[str, Callable[[Subject], Iterable[str]]]
"""Checks by name, in the order in which they run; each yields the problems that it finds."""

LEDGER = "ledger"
"""The check that the ledger can be read; if it cannot, its contents are not checked."""

RETENTION = "retention"
"""The check that the status of retention can be read."""

WHOLE: Checks = {
    "data-directory": directory.read_by_others,
    "signing-key": directory.unusable_key,
    "restore": directory.unfinished_restore,
    "unfinished-archives": directory.unfinished_archives,
    "disk": directory.full_disk,
    "wal": directory.long_wal,
    "open-files": directory.few_files,
}
"""Checks that always run."""

INSIDE: Checks = {
    "journal-mode": store.journal_mode,
    "auto-vacuum": store.auto_vacuum,
    "synchronous-commit": store.durable_in_postgres("synchronous_commit"),
    "fsync": store.durable_in_postgres("fsync"),
    "full-page-writes": store.durable_in_postgres("full_page_writes"),
    "schema": store.schema,
    "pools-reached": images.unreachable_pools,
    "pools-known": images.unknown_pools,
    "pool-space": images.full_pools,
    "images": images.images_not_there,
}
"""Checks of a ledger of any schema."""

CURRENT: Checks = {
    "read-models": store.read_models,
    "checkpoint": store.checkpoint,
    "running-jobs": store.stuck_jobs,
    "workers": workers.absent_workers,
    "lost-workers": workers.lost_workers,
    "clock": retention.clocks,
    "overdue": retention.late_sweeps,
    "parked": retention.parked,
    "tails": retention.tails,
    "archives": retention.archives,
}
"""Checks of a ledger of this schema."""

_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors from reading data that no version of the ledger has written."""


def examine_service(service: Service) -> Findings:
    """Examine a service from inside."""
    return examine(
        service.data,
        service.database,
        service.pools.values(),
        limits=service.limits,
        reading=service.clocks(),
        service=os.getpid(),
        archiving=service.ledger.maintenance.locked(),
        recorded=service.ledger.recorded_bytes(),
    )


def examine(
    data: Path,
    database: Database,
    pools: Iterable[Pool],
    *,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    reading: Reading,
    service: int | None,
    archiving: bool,
    recorded: Mapping[str, int] | None = None,
) -> Findings:
    """Run all checks; blocks for a few reads.

    `archiving` says whether an archive may be under way; `recorded`, how many bytes of events the
    service has recorded for whom in a day.
    """
    pools = list(pools)
    pools_found = [examine_pool(pool) for pool in pools]
    runs = service is not None
    subject = Subject(data, database, pools, pools_found, reading, archiving, runs)
    checks = _run(WHOLE, subject)
    ledger, problems = _attempt(partial(examine_ledger, database))
    checks.append(Check(LEDGER, problems))
    if ledger is None:
        return Findings(
            str(data), VERSION, service, None, None, pools_found, limits, [], [], checks
        )
    subject = subject._replace(found=ledger)
    checks += _run(INSIDE, subject)
    if subject.ledger.schema_version == SCHEMA_VERSION:
        status, problems = _attempt(partial(_read_status, subject))
        subject = subject._replace(retention=status)
        checks += [Check(RETENTION, problems), *_run(CURRENT, subject)]
    lost, _ = _attempt(partial(lost_jobs, database))
    users, _ = _attempt(partial(largest_users, database, recorded or {}))
    return Findings(
        str(data),
        VERSION,
        service,
        subject.found,
        subject.retention,
        pools_found,
        limits,
        users or [],
        lost or [],
        checks,
    )


def clock_of(database: Database, own: Callable[[], datetime]) -> TimeSource:
    """Return the clock of a ledger without a service; `own` is the machine's clock.

    If the ledger cannot be read, which is another check, that is all there is.
    """
    found, _ = _attempt(partial(_see_clock, database, own))
    return found or SeenClock(own(), datetime.min.replace(tzinfo=UTC), timedelta(0))


def _see_clock(database: Database, own: Callable[[], datetime]) -> SeenClock:
    with database.log() as log:
        return see_clock(log.cursor(), own)


def _read_status(subject: Subject) -> RetentionStatus:
    with subject.database.log() as log:
        shelf, reading = Shelf(subject.data / ARCHIVES), subject.reading
        return read_status(log, shelf, reading.wall, reading)


def _run(checks: Checks, subject: Subject) -> list[Check]:
    return [Check(name, _problems(check, subject)) for name, check in checks.items()]


def _problems(check: Callable[[Subject], Iterable[str]], subject: Subject) -> list[str]:
    found, problems = _attempt(lambda: list(check(subject)))
    return problems if found is None else found


def _attempt(read: Callable[[], T]) -> tuple[T | None, list[str]]:
    """Return what is read, or the problem that keeps it from being read."""
    try:
        return read(), []
    except (Expected, OSError) as error:
        return None, [str(error)]
    except _DAMAGE as error:
        return None, [f"what is there makes no sense: {error}"]
