"""What the doctor reads: the ledger's database and its settings, and the pools."""

from api.data.location import Database, PostgresDatabase
from api.doctor.findings import LedgerFound, PoolFound
from ledger.domain.errors.store import StoreFailed
from ledger.images.pools import Pool
from ledger.store.engines import postgres_engine, sqlite_engine
from ledger.store.postgres.address import without_password
from projections.views.drives import drives_by_pool
from projections.views.generations import live_generation


def examine_ledger(database: Database) -> LedgerFound:
    """Raise `StoreFailed` if there is no ledger, or it cannot be read."""
    if not database.exists():
        raise StoreFailed(f"there is no ledger at {database.address}")
    read_engine = postgres_engine if isinstance(database, PostgresDatabase) else sqlite_engine
    with database.log() as log:
        cursor = log.cursor()
        engine = read_engine(cursor)
        return LedgerFound(
            where=without_password(str(database.address)),
            engine=engine.name,
            settings=engine.settings,
            schema_version=engine.schema_version,
            generation=live_generation(cursor),
            last_position=log.last_position(),
            drives=drives_by_pool(cursor),
        )


def examine_pool(pool: Pool) -> PoolFound:
    try:
        free_bytes: int | None = pool.room().free_bytes
    except OSError:
        free_bytes = None
    return PoolFound(pool.name, str(pool.path), pool.storage_type, free_bytes)
