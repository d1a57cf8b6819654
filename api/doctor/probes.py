"""What the doctor looks at: the ledger's database and its settings, and the pools. Reads only."""

from typing import Any

from api.data.location import Database, PostgresDatabase
from api.doctor.findings import LedgerFound, PoolFound
from ledger.domain.errors import StoreFailed
from ledger.images import Pool
from ledger.store.postgres.address import without_password
from ledger.store.seam import Cursor
from projections.views.drives import drives_by_pool
from projections.views.generations import live_generation

DURABLE_IN_POSTGRES = ("synchronous_commit", "fsync", "full_page_writes")

_AUTO_VACUUM = {0: "none", 1: "full", 2: "incremental"}


def examine_ledger(database: Database) -> LedgerFound:
    if not database.exists():
        raise StoreFailed(f"there is no ledger at {database.address}")
    with database.log() as log:
        cursor = log.cursor()
        look = _postgres if isinstance(database, PostgresDatabase) else _sqlite
        engine, settings, schema_version = look(cursor)
        return LedgerFound(
            where=without_password(str(database.address)),
            engine=engine,
            settings=settings,
            schema_version=schema_version,
            generation=live_generation(cursor),
            last_position=log.last_position(),
            drives=drives_by_pool(cursor),
        )


def _sqlite(cursor: Cursor) -> tuple[str, dict[str, str], int]:
    cursor.execute("SELECT sqlite_version()")
    engine = f"SQLite {cursor.fetchone()[0]}"
    settings = {
        "journal_mode": _pragma(cursor, "journal_mode"),
        "auto_vacuum": _AUTO_VACUUM.get(_pragma(cursor, "auto_vacuum"), "unknown"),
    }
    return engine, settings, int(_pragma(cursor, "user_version"))


def _postgres(cursor: Cursor) -> tuple[str, dict[str, str], int]:
    settings = {}
    for name in ("server_version", *DURABLE_IN_POSTGRES):
        cursor.execute("SELECT current_setting(?)", (name,))
        settings[name] = str(cursor.fetchone()[0])
    cursor.execute("SELECT version FROM schema_version")
    return f"PostgreSQL {settings.pop('server_version')}", settings, int(cursor.fetchone()[0])


def _pragma(cursor: Cursor, name: str) -> Any:
    cursor.execute(f"PRAGMA {name}")
    return cursor.fetchone()[0]


def examine_pool(pool: Pool) -> PoolFound:
    try:
        free_bytes: int | None = pool.free_bytes()
    except OSError:
        free_bytes = None
    return PoolFound(pool.name, str(pool.path), pool.storage_type, free_bytes)
