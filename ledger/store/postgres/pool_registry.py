"""The tables of pools, in PostgreSQL: which of them workers have, and which directory each is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from ledger.domain.context import PoolSpace
from ledger.store.postgres.cursor import PgConnection

POOLS_KEPT = timedelta(days=1)
"""How long it is known which pools a worker had that is not seen any more."""

_TELL_POOLS = """
INSERT INTO pools SELECT %s, pool, storage_type, free_bytes
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS new (pool, storage_type, free_bytes)
ON CONFLICT (worker, pool) DO UPDATE SET
    storage_type = excluded.storage_type, free_bytes = excluded.free_bytes, seen = now()
"""
_SEEN_POOLS = """
SELECT worker, pool, storage_type, free_bytes FROM pools WHERE seen > now() - %s
ORDER BY seen, worker, pool
"""


class SeenPool(NamedTuple):
    """A pool that a worker has, or had a short while ago."""

    worker: str
    space: PoolSpace


def identify(connection: PgConnection, pool: str, identity: str) -> str:
    """The identity of the pool of this name, which is the one given if it had none."""
    connection.raw.execute(
        "INSERT INTO pool_identities VALUES (%s, %s) ON CONFLICT DO NOTHING", (pool, identity)
    )
    found = connection.raw.execute("SELECT identity FROM pool_identities WHERE pool = %s", (pool,))
    return str(found.fetchall()[0][0])


def tell_pools(connection: PgConnection, worker: str, spaces: Sequence[PoolSpace]) -> None:
    """Says which pools a worker has now."""
    columns = (
        [space.name for space in spaces],
        [space.storage_type for space in spaces],
        [space.free_bytes for space in spaces],
    )
    connection.raw.execute(_TELL_POOLS, (worker, *columns))
    connection.raw.execute("DELETE FROM pools WHERE seen < now() - %s", (POOLS_KEPT,))


def seen_pools(connection: PgConnection, within: timedelta) -> list[SeenPool]:
    """The pools of all workers that were seen within this time, those seen last at the end."""
    rows = connection.raw.execute(_SEEN_POOLS, (within,)).fetchall()
    return [
        SeenPool(worker, PoolSpace(pool, storage_type, free_bytes, here=False))
        for worker, pool, storage_type, free_bytes in rows
    ]
