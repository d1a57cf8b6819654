"""All checks, one after the other. What cannot be read is a problem, no error."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from api.databases import Database
from api.doctor import directory, images, retention, store
from api.doctor.findings import Check, Findings
from api.doctor.looking import examine_ledger, examine_pool, synchronous_of
from api.doctor.patient import Patient, Whole
from api.service import Service
from ledger.archives import Shelf
from ledger.clock_watch import Reading
from ledger.errors import Expected
from ledger.images import Pool
from ledger.store.sqlite import SCHEMA_VERSION
from projections.retention.compacting import ARCHIVES
from projections.retention.standing import Standing, standing_of

P = TypeVar("P")

LEDGER = "ledger"
"""The check that there is one that can be read; without it there are none of what is in it."""

RETENTION = "retention"
"""The check that it can be told how retention stands."""

WHOLE: Mapping[str, Callable[[Whole], Iterable[str]]] = {
    "data-directory": directory.read_by_others,
    "signing-key": directory.unusable_key,
    "restore": directory.unfinished_restore,
    "unfinished-archives": directory.unfinished_archives,
    "disk": directory.full_disk,
    "wal": directory.long_wal,
    "open-files": directory.few_files,
}
"""What is looked at in any case, in this order."""

INSIDE: Mapping[str, Callable[[Patient], Iterable[str]]] = {
    "journal-mode": store.journal_mode,
    "sync-mode": store.sync_mode,
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

CURRENT: Mapping[str, Callable[[Patient], Iterable[str]]] = {
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
        synchronous=lambda: service.ledger.exclusive(synchronous_of).result(),
        clocks=service.clocks,
        service=os.getpid(),
        archiving=service.ledger.maintenance.locked(),
    )


def examine(
    data: Path,
    database: Database,
    pools: Iterable[Pool],
    *,
    synchronous: Callable[[], str],
    clocks: Callable[[], Reading],
    service: int | None,
    archiving: bool,
) -> Findings:
    """Looks at everything; blocks for a few reads.

    `archiving` says whether an archive may be being written.
    """
    looked_at = list(pools)
    found = [examine_pool(pool) for pool in looked_at]
    runs = service is not None
    whole = Whole(data, database, looked_at, found, archiving, runs)
    checks = [_checked(name, look, whole) for name, look in WHOLE.items()]
    try:
        ledger = examine_ledger(database, synchronous)
    except (*_PROBLEMS, *_NONSENSE) as error:
        checks.append(Check(LEDGER, [_told(error)]))
        return Findings(str(data), service, None, None, found, checks)
    checks.append(Check(LEDGER, []))
    reading = clocks()
    patient = Patient(data, database, looked_at, found, runs, ledger, reading, None)
    checks += [_checked(name, look, patient) for name, look in INSIDE.items()]
    if ledger.schema_version == SCHEMA_VERSION:
        standing, problems = _standing(database, data, reading)
        checks.append(Check(RETENTION, problems))
        patient = patient._replace(standing=standing)
        checks += [_checked(name, look, patient) for name, look in CURRENT.items()]
    return Findings(str(data), service, ledger, patient.standing, found, checks)


def _standing(
    database: Database, data: Path, reading: Reading
) -> tuple[Standing | None, list[str]]:
    try:
        with database.log() as log:
            return standing_of(log, Shelf(data / ARCHIVES), reading.wall, reading), []
    except (*_PROBLEMS, *_NONSENSE) as error:
        return None, [_told(error)]


def _checked(name: str, look: Callable[[P], Iterable[str]], patient: P) -> Check:
    try:
        return Check(name, list(look(patient)))
    except (*_PROBLEMS, *_NONSENSE) as error:
        return Check(name, [_told(error)])


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, _PROBLEMS) else f"what is there makes no sense: {error}"
