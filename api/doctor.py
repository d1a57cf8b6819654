"""The doctor: how the ledger's file and its pools are, and what is wrong with them.

It reads only. Some of it is known to the service alone (the sync mode belongs to its connection),
so a running service examines itself; without one, the same is asked of the files.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

from api.databases import Database, PostgresDatabase
from api.doctor_retention import examine_retention, unfinished_archives
from ledger.clock_watch import Reading
from ledger.errors import StoreFailed, UnknownEvent
from ledger.images import Pool
from ledger.store.pg_address import without_password
from ledger.store.pg_connecting import connected
from ledger.store.pools import seen_pools
from ledger.store.seam import Cursor
from ledger.store.sqlite import SCHEMA_VERSION, open_connection
from ledger.workers.neighbours import REMEMBERED
from projections.backup.pools import MissingImage, missing_images
from projections.retention.compacting import ARCHIVES
from projections.retention.standing import Standing
from projections.views.images import expected_images
from projections.views.sqlite import drives_by_pool, live_generation

FREE_BYTES_LOW = 1024**3
"""With less than this free, a pool or the ledger's disk will soon be full."""

NAMED = 10
"""Drives without an image are named, but no more than so many."""

_SYNCHRONOUS = {0: "off", 1: "normal", 2: "full", 3: "extra"}
_AUTO_VACUUM = {0: "none", 1: "full", 2: "incremental"}
_DURABLE = ("full", "extra")
_DURABLE_IN_POSTGRES = ("synchronous_commit", "fsync", "full_page_writes")


class PoolFound(Struct, frozen=True):
    """A pool and the room in it; None where it cannot be looked at."""

    name: str
    path: str
    storage_type: str
    free_bytes: int | None


class LedgerFound(Struct, frozen=True):
    """The ledger, and the database that it is in with what makes its commits durable.

    `readers` says how far each reader of the log got, `drives` how many there are in each pool.
    """

    where: str
    engine: str
    settings: dict[str, str]
    schema_version: int
    generation: int
    last_position: int
    readers: dict[str, int]
    drives: dict[str, int]


class Findings(Struct, frozen=True):
    """All that was found; sound if there are no problems. `service` is a pid."""

    data: str
    service: int | None
    ledger: LedgerFound | None
    retention: Standing | None
    pools: list[PoolFound]
    problems: list[str]


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
    """Looks at everything; blocks for a few reads. What cannot be read is a problem, no error.

    `archiving` says whether an archive may be being written.
    """
    problems: list[str] = []
    looked_at = list(pools)
    ledger = standing = None
    try:
        ledger = _examine_ledger(database, synchronous)
        problems += _problems_of_ledger(ledger)
        if ledger.schema_version == SCHEMA_VERSION:
            with database.log() as log:
                runs = service is not None
                retention = examine_retention(log, data / ARCHIVES, clocks(), runs=runs)
            standing = retention.standing
            problems += retention.problems
    except (StoreFailed, UnknownEvent) as error:
        problems.append(str(error))
    if not archiving:
        problems += unfinished_archives(data)
    found = [_examine_pool(pool) for pool in looked_at]
    problems += [problem for pool in found for problem in _problems_of_pool(pool)]
    if ledger is not None:
        known = {pool.name for pool in found} | _elsewhere(database)
        problems += _missing_pools(ledger, known)
        reached = {pool.name for pool in found if pool.free_bytes is not None}
        problems += _missing_images(database, [pool for pool in looked_at if pool.name in reached])
    return Findings(str(data), service, ledger, standing, found, problems)


def synchronous_of(cursor: Cursor) -> str:
    """The sync mode of the connection that this cursor is of."""
    return _SYNCHRONOUS.get(_pragma(cursor, "synchronous"), "unknown")


def synchronous_of_new_connections() -> str:
    """The sync mode that a service would write with, tried out on a file of no importance."""
    with TemporaryDirectory() as folder:
        connection = open_connection(Path(folder, "probe.sqlite"), writing=True)
        try:
            return synchronous_of(connection.cursor())
        finally:
            connection.close()


def _examine_ledger(database: Database, synchronous: Callable[[], str]) -> LedgerFound:
    if not database.exists():
        raise StoreFailed(f"there is no ledger at {database.address}")
    with database.log() as log:
        cursor = log.cursor()
        look = (
            _postgres if isinstance(database, PostgresDatabase) else partial(_sqlite, synchronous)
        )
        engine, settings, schema_version = look(cursor)
        return LedgerFound(
            where=without_password(str(database.address)),
            engine=engine,
            settings=settings,
            schema_version=schema_version,
            generation=live_generation(cursor),
            last_position=log.last_position(),
            # Written in the transaction of the events, so there is no way to be behind.
            readers={"inline projections": log.last_position()},
            drives=drives_by_pool(cursor),
        )


def _sqlite(synchronous: Callable[[], str], cursor: Cursor) -> tuple[str, dict[str, str], int]:
    cursor.execute("SELECT sqlite_version()")
    engine = f"SQLite {cursor.fetchone()[0]}"
    settings = {
        "journal_mode": _pragma(cursor, "journal_mode"),
        "synchronous": synchronous(),
        "auto_vacuum": _AUTO_VACUUM.get(_pragma(cursor, "auto_vacuum"), "unknown"),
    }
    return engine, settings, int(_pragma(cursor, "user_version"))


def _postgres(cursor: Cursor) -> tuple[str, dict[str, str], int]:
    settings = {}
    for name in ("server_version", *_DURABLE_IN_POSTGRES):
        cursor.execute("SELECT current_setting(?)", (name,))
        settings[name] = str(cursor.fetchone()[0])
    cursor.execute("SELECT version FROM schema_version")
    return f"PostgreSQL {settings.pop('server_version')}", settings, int(cursor.fetchone()[0])


def _pragma(cursor: Cursor, name: str) -> Any:
    cursor.execute(f"PRAGMA {name}")
    return cursor.fetchone()[0]


def _problems_of_ledger(ledger: LedgerFound) -> Iterable[str]:
    settings = ledger.settings
    if settings.get("journal_mode", "wal") != "wal":
        yield f"the journal mode is {settings['journal_mode']}, not wal"
    if settings.get("synchronous", "full") not in _DURABLE:
        yield f"the sync mode is {settings['synchronous']}: what is acknowledged may be lost"
    if settings.get("auto_vacuum", "incremental") != "incremental":
        yield f"auto_vacuum is {settings['auto_vacuum']}, not incremental: the file will not shrink"
    for name in _DURABLE_IN_POSTGRES:
        if settings.get(name, "on") in ("off", "local"):
            yield f"{name} is {settings[name]}: what is acknowledged may be lost"
    if ledger.schema_version > SCHEMA_VERSION:  # a lower one is raised by the next start
        yield f"the schema is {ledger.schema_version}; this is schema {SCHEMA_VERSION}"
    for reader, position in ledger.readers.items():
        if position != ledger.last_position:
            yield f"{reader} are at position {position}, not {ledger.last_position}"


def _missing_pools(ledger: LedgerFound, known: set[str]) -> Iterable[str]:
    for pool, count in sorted(ledger.drives.items()):
        if pool not in known:
            yield f"{count} drives are in pool {pool}, which is not among those looked at (--pool)"


def _elsewhere(database: Database) -> set[str]:
    """The pools that workers have, or had a short while ago; none where that cannot be asked."""
    if not isinstance(database, PostgresDatabase):
        return set()
    with suppress(StoreFailed), connected(database.url) as connection:
        return {seen.space.name for seen in seen_pools(connection, REMEMBERED)}
    return set()


def _missing_images(database: Database, pools: list[Pool]) -> Iterable[str]:
    """Looks twice: a drive may have been deleted, and its image removed, since the first look."""
    try:
        missing = _images_not_there(database, pools)
        if missing:
            missing &= _images_not_there(database, pools)
    except StoreFailed as error:
        yield str(error)
        return
    if missing:
        named = [f"{drive} in pool {pool}" for drive, pool in sorted(missing)[:NAMED]]
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        yield f"the image of {len(missing)} drives is not there: {', '.join(named)}{more}"


def _images_not_there(database: Database, pools: list[Pool]) -> set[MissingImage]:
    with database.log() as log:
        expected = expected_images(log.cursor())
    return set(missing_images(expected, {pool.name: pool for pool in pools}))


def _examine_pool(pool: Pool) -> PoolFound:
    try:
        free_bytes: int | None = pool.free_bytes()
    except OSError:
        free_bytes = None
    return PoolFound(pool.name, str(pool.path), pool.storage_type, free_bytes)


def _problems_of_pool(pool: PoolFound) -> Iterable[str]:
    if pool.free_bytes is None:
        yield f"pool {pool.name} cannot be reached at {pool.path}"
    elif pool.free_bytes < FREE_BYTES_LOW:
        yield f"pool {pool.name} has only {pool.free_bytes} bytes left"
