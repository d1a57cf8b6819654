"""What decisions cannot compute: new ids, macs and passwords, hosts, addresses, and free room."""

import math
import random
import secrets
import string
import time
from collections.abc import Mapping
from ipaddress import IPv4Network

from api.service.ids import new_id
from api.service.settings import DEFAULT_HOSTS, DEFAULT_RANGE
from ledger.domain.context import PoolSpace
from ledger.domain.quotas import NO_QUOTAS, Quotas
from ledger.images.errors import ImageError
from ledger.images.extents import data_bytes
from ledger.images.pools import Pool
from ledger.workers.worker_registry import WorkerRegistry

VNC_PASSWORD_LENGTH = 8
SPACE_S = 1.0
FILES_FEW = 10_000
"""How many drives may be made before the next measurement, and many more."""

_random = random.SystemRandom()


def new_mac() -> str:
    """Draw a mac from the range of every recorded one of the public API."""
    return "22:" + _random.randbytes(5).hex(":")


def new_password() -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(VNC_PASSWORD_LENGTH))


class ServiceEnvironment:
    """The environment of decisions in one process. Any thread may call its methods."""

    new_id = staticmethod(new_id)
    new_mac = staticmethod(new_mac)

    def __init__(
        self,
        pools: Mapping[str, Pool],
        hosts: tuple[str, ...] = DEFAULT_HOSTS,
        workers: WorkerRegistry | None = None,
        quotas: Quotas = NO_QUOTAS,
        addresses: IPv4Network = DEFAULT_RANGE,
    ) -> None:
        """`workers` are those of other processes, where they do the work."""
        self._pools = pools
        self._hosts = hosts
        self._addresses = addresses
        self._workers = workers
        self.quotas = quotas
        self._measured: tuple[float, tuple[PoolSpace, ...]] = -math.inf, ()

    def hosts(self) -> tuple[str, ...]:
        return self._hosts

    def address_range(self) -> IPv4Network:
        return self._addresses

    def pools(self) -> tuple[PoolSpace, ...]:
        """Return the pools of this process, and those that only workers elsewhere have."""
        seen = self._workers.pools() if self._workers is not None else ()
        elsewhere = {pool.space.name: pool.space for pool in seen}
        return self.here() + tuple(
            space for name, space in elsewhere.items() if name not in self._pools
        )

    def look_for_pools(self) -> bool:
        if self._workers is None:
            return False
        self._workers.look()
        return True

    def within_reach(self, source: str, pool: str) -> bool:
        """Return whether some worker has both pools; without workers, this process has."""
        if self._workers is None:
            return True
        names_by_worker: dict[str, set[str]] = {}
        for seen in self._workers.pools():
            names_by_worker.setdefault(seen.worker, set()).add(seen.space.name)
        return any({source, pool} <= names for names in names_by_worker.values())

    def data_bytes(self, pool: str, drive: str) -> int | None:
        """Return how much data the drive's image has, if its pool is here and can be read."""
        if pool not in self._pools:
            return None
        try:
            return data_bytes(self._pools[pool].image(drive))
        except (ImageError, OSError):
            return None

    def here(self) -> tuple[PoolSpace, ...]:
        """Return the pools of this process, measured at most `SPACE_S` ago.

        A command may ask once for each of its disks. Nothing is refused because a pool was full,
        and a few files are not given away twice.
        """
        at, spaces = self._measured
        old = time.monotonic() - at > SPACE_S
        if old or any(space.full or space.free_files < FILES_FEW for space in spaces):
            at, spaces = time.monotonic(), tuple(map(_space_of, self._pools.values()))
            self._measured = at, spaces  # both at once: another thread may be here
        return spaces


def _space_of(pool: Pool) -> PoolSpace:
    """Measure a pool; one that cannot be read has 0 bytes free, so that placement picks it last."""
    try:
        room = pool.room()
    except OSError:
        return PoolSpace(pool.name, pool.storage_type, free_bytes=0)
    return PoolSpace(
        *(pool.name, pool.storage_type, room.free_bytes),
        full=room.is_full,
        free_files=room.free_files,
    )
