"""The tables of pools in PostgreSQL: which workers have them, and each pool's identity."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from ledger.domain.context import PoolSpace
from ledger.store.postgres.cursor import PgConnection
from ledger.store.seam import Cursor

POOLS_KEPT_FOR = timedelta(days=1)
"""How long the pools of a silent worker are kept."""

_REPORT_POOLS = """
INSERT INTO pools SELECT %s, pool, storage_type, free_bytes
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS new (pool, storage_type, free_bytes)
ON CONFLICT (worker, pool) DO UPDATE SET
    storage_type = excluded.storage_type, free_bytes = excluded.free_bytes, seen = now()
"""
_RECENT_POOLS = """
SELECT worker, pool, storage_type, free_bytes FROM pools
WHERE seen > now() - make_interval(secs => ?) ORDER BY seen, worker, pool
"""


class WorkerPool(NamedTuple):
    """A pool that a worker has, or had a short time ago."""

    worker: str
    space: PoolSpace


def identify_pool(connection: PgConnection, pool: str, identity: str) -> str:
    """Return the identity of the pool of this name; if it has none, give it this one."""
    connection.raw.execute(
        "INSERT INTO pool_identities VALUES (%s, %s) ON CONFLICT DO NOTHING", (pool, identity)
    )
    found = connection.raw.execute("SELECT identity FROM pool_identities WHERE pool = %s", (pool,))
    return str(found.fetchall()[0][0])


def report_pools(connection: PgConnection, worker: str, spaces: Sequence[PoolSpace]) -> None:
    """Record which pools a worker has now."""
    columns = (
        [space.name for space in spaces],
        [space.storage_type for space in spaces],
        [space.free_bytes for space in spaces],
    )
    connection.raw.execute(_REPORT_POOLS, (worker, *columns))
    connection.raw.execute("DELETE FROM pools WHERE seen < now() - %s", (POOLS_KEPT_FOR,))


def recent_pools(cursor: Cursor, within: timedelta) -> list[WorkerPool]:
    """Return the pools that workers reported within this time, the most recent last."""
    cursor.execute(_RECENT_POOLS, (within.total_seconds(),))
    return [
        WorkerPool(worker, PoolSpace(pool, storage_type, free_bytes, here=False))
        for worker, pool, storage_type, free_bytes in cursor.fetchall()
    ]
