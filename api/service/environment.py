"""What decisions cannot compute: new ids, macs and passwords, hosts, addresses, and free room."""

import random
import secrets
import string
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from api.service.ids import new_id
from api.service.settings import DEFAULT_HOSTS, DEFAULT_RANGE
from ledger.domain.context import PoolSpace
from ledger.domain.errors import Refusal
from ledger.domain.errors.pools import PoolSilent
from ledger.domain.quotas import NO_QUOTAS, Quotas
from ledger.images.pool_thread import Owed
from ledger.images.pools import Pool
from ledger.images.surveys import Images
from ledger.images.watched_pool import WatchedPool
from ledger.workers.worker_registry import WorkerRegistry

VNC_PASSWORD_LENGTH = 8

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
        self._here = {name: WatchedPool(pool) for name, pool in pools.items()}
        self._hosts = hosts
        self._addresses = addresses
        self._workers = workers
        self.quotas = quotas

    def hosts(self) -> tuple[str, ...]:
        return self._hosts

    def address_range(self) -> IPv4Network:
        return self._addresses

    def pools(self) -> tuple[PoolSpace, ...]:
        """Return the pools of this process, and those that only workers elsewhere have."""
        seen = self._workers.pools() if self._workers is not None else ()
        elsewhere = {pool.space.name: pool.space for pool in seen}
        return self.here() + tuple(
            space for name, space in elsewhere.items() if name not in self._here
        )

    def here(self) -> tuple[PoolSpace, ...]:
        """Return the pools of this process, as they were last measured."""
        return tuple(pool.space for pool in self._here.values())

    def renew(self) -> Sequence[Owed]:
        return [pool.renew() for pool in self._here.values() if pool.is_old and not pool.hangs]

    def renew_and_wait(self) -> None:
        """Measure the pools of this process, for a thread; but do not wait long for any."""
        for owed in self.renew():
            owed.wait()

    def look(self, refusal: Refusal) -> Sequence[Owed]:
        if isinstance(refusal, PoolSilent):
            return [self._here[refusal.pool].renew(needed=True)]
        if self._workers is not None:
            return [*self.renew(), self._workers.look()]
        return self.renew()

    def measure(
        self, images: Images, found: dict[str, int | None], *, needed: bool = True
    ) -> Sequence[Owed]:
        """Find how much data the images have; that of an image elsewhere is not known here."""
        here: dict[str, list[str]] = {}
        for pool, drive in images:
            if pool in self._here:
                here.setdefault(pool, []).append(drive)
            else:
                found[drive] = None
        return [
            self._here[pool].measure(drives, found, needed=needed)
            for pool, drives in here.items()
            if needed or not self._here[pool].hangs
        ]

    def close(self) -> None:
        """End the threads of the pools."""
        for pool in self._here.values():
            pool.close()

    def within_reach(self, source: str, pool: str) -> bool:
        """Return whether some worker has both pools; without workers, this process has."""
        if self._workers is None:
            return True
        names_by_worker: dict[str, set[str]] = {}
        for seen in self._workers.pools():
            names_by_worker.setdefault(seen.worker, set()).add(seen.space.name)
        return any({source, pool} <= names for names in names_by_worker.values())
