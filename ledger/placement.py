"""In which pool a new drive's image goes."""

from ledger.errors import UnknownStorageType
from ledger.world import PoolSpace


def place(pools: tuple[PoolSpace, ...], storage_type: str, *, near: str | None = None) -> PoolSpace:
    """A pool of this storage type: the one named `near` if it has it, else the roomiest.

    A copy within a pool may be a reflink, so a clone is placed near its source.

    Raises `UnknownStorageType` when no pool has the type.
    """
    fitting = [pool for pool in pools if pool.storage_type == storage_type]
    if not fitting:
        known = ", ".join(sorted({pool.storage_type for pool in pools}))
        raise UnknownStorageType(f"no pool has storage type {storage_type}; there is {known}")
    for pool in fitting:
        if pool.name == near:
            return pool
    return max(fitting, key=lambda pool: (pool.free_bytes, pool.name))
