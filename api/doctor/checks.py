"""All checks, one after the other. What cannot be read is a problem, no error."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from api.data.location import Database
from api.doctor import directory, images, retention, store
from api.doctor.findings import Check, Findings
from api.doctor.probes import examine_ledger, examine_pool
from api.doctor.subject import Subject
from api.service.service import Service
from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.domain.errors import Expected
from ledger.images import Pool
from ledger.store.schema import SCHEMA_VERSION
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.status import RetentionStatus, read_status

Checks = Mapping[str, Callable[[Subject], Iterable[str]]]
"""By name, in the order in which they are made; each says what is wrong."""

LEDGER = "ledger"
"""The check that there is one that can be read; without it there are none of what is in it."""

RETENTION = "retention"
"""The check that it can be told how retention stands."""

WHOLE: Checks = {
    "data-directory": directory.read_by_others,
    "signing-key": directory.unusable_key,
    "restore": directory.unfinished_restore,
    "unfinished-archives": directory.unfinished_archives,
    "disk": directory.full_disk,
    "wal": directory.long_wal,
    "open-files": directory.few_files,
}
"""What is looked at in any case."""

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
"""What is looked at in a ledger of any schema."""

CURRENT: Checks = {
    "read-models": store.read_models,
    "checkpoint": store.checkpoint,
    "running-jobs": store.stuck_jobs,
    "clock": retention.wall_clock,
    "overdue": retention.late_sweeps,
    "parked": retention.parked,
    "archives": retention.archives,
}
"""What is looked at in a ledger of this schema."""

_PROBLEMS = (Expected, OSError)
_NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading raises that was written by nobody who knows the ledger."""


def examine_service(service: Service) -> Findings:
    """Look at a service from inside."""
    return examine(
        service.data,
        service.database,
        service.pools.values(),
        reading=service.clocks(),
        service=os.getpid(),
        archiving=service.ledger.maintenance.locked(),
    )


def examine(
    data: Path,
    database: Database,
    pools: Iterable[Pool],
    *,
    reading: Reading,
    service: int | None,
    archiving: bool,
) -> Findings:
    """Looks at everything; blocks for a few reads.

    `archiving` says whether an archive may be being written.
    """
    pools = list(pools)
    pools_found = [examine_pool(pool) for pool in pools]
    runs = service is not None
    subject = Subject(data, database, pools, pools_found, reading, archiving, runs)
    checks = _make(WHOLE, subject)
    try:
        subject = subject._replace(found=examine_ledger(database))
    except (*_PROBLEMS, *_NONSENSE) as error:
        checks.append(Check(LEDGER, [_told(error)]))
        return Findings(str(data), service, None, None, pools_found, checks)
    checks += [Check(LEDGER, []), *_make(INSIDE, subject)]
    if subject.ledger.schema_version == SCHEMA_VERSION:
        standing, problems = _standing(subject)
        subject = subject._replace(standing=standing)
        checks += [Check(RETENTION, problems), *_make(CURRENT, subject)]
    return Findings(str(data), service, subject.found, subject.standing, pools_found, checks)


def _standing(subject: Subject) -> tuple[RetentionStatus | None, list[str]]:
    shelf, reading = Shelf(subject.data / ARCHIVES), subject.reading
    try:
        with subject.database.log() as log:
            return read_status(log, shelf, reading.wall, reading), []
    except (*_PROBLEMS, *_NONSENSE) as error:
        return None, [_told(error)]


def _make(checks: Checks, subject: Subject) -> list[Check]:
    return [Check(name, _problems(look, subject)) for name, look in checks.items()]


def _problems(look: Callable[[Subject], Iterable[str]], subject: Subject) -> list[str]:
    try:
        return list(look(subject))
    except (*_PROBLEMS, *_NONSENSE) as error:
        return [_told(error)]


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, _PROBLEMS) else f"what is there makes no sense: {error}"
