"""The composition root: the one place that builds a service out of its parts."""

import asyncio
import logging
import math
import random
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from api.accounts.service import Accounts
from api.background.image_work import Work, run_image_work, worker_name
from api.data.directory import DataUnusable
from api.data.idempotency_keys import IdempotencyKeys
from api.data.location import Database, PostgresDatabase, database_of, remember, store_of
from api.resources.frames import frames
from api.service.clocks import Clocks
from api.service.ids import new_id
from api.service.service import Service, Worker
from api.service.settings import DEFAULT_HOSTS, Settings, WorkerSettings, WorkSettings
from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.domain.context import PoolSpace
from ledger.domain.errors import StoreFailed
from ledger.images import Pool, RateLimit
from ledger.merkle.signed_note import Signer
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE, KeyUnusable, signer_of
from ledger.store.postgres.pool_registry import SeenPool
from ledger.store.tables import checkpoints
from ledger.workers.attempts import Copying
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.job_worker import JobWorkers
from ledger.workers.worker_registry import WorkerRegistry
from projections.feed.feed import Feed
from projections.maintenance.backup.restoration import is_unfinished
from projections.maintenance.rebuild import AlreadyRebuilding, rebuild
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.service import Retention
from projections.views.generations import is_outdated

VNC_PASSWORD_LENGTH = 8
SPACE_S = 1.0
REBUILDING_S = 1.0

_random = random.SystemRandom()

log = logging.getLogger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


def new_mac() -> str:
    """A mac of the range that every recorded one of the public API is from."""
    return "22:" + _random.randbytes(5).hex(":")


def new_password() -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(VNC_PASSWORD_LENGTH))


def new_clocks() -> Clocks:
    """The machine's clocks, for whoever discards by them."""
    return Clocks(now, new_id)


class ServiceEnvironment:
    """What decisions cannot compute: ids, macs, hosts, and the pools with the room they have."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        hosts: tuple[str, ...] = DEFAULT_HOSTS,
        seen: Callable[[], Sequence[SeenPool]] | None = None,
    ) -> None:
        """`seen` are the pools of workers, where others than this process do the work."""
        self._pools = pools
        self._hosts = hosts
        self._seen = seen
        self._spaces: tuple[PoolSpace, ...] = ()
        self._measured = -math.inf

    def new_id(self) -> str:
        return new_id()

    def new_mac(self) -> str:
        return new_mac()

    def hosts(self) -> tuple[str, ...]:
        return self._hosts

    def pools(self) -> tuple[PoolSpace, ...]:
        """Those here, and those that only workers elsewhere have."""
        seen = self._seen() if self._seen is not None else ()
        elsewhere = {pool.space.name: pool.space for pool in seen}
        return self.here() + tuple(
            space for name, space in elsewhere.items() if name not in self._pools
        )

    def within_reach(self, source: str, pool: str) -> bool:
        """What this process has, its own threads copy, unless workers are asked."""
        if self._seen is None:
            return True
        has: dict[str, set[str]] = {}
        for known in self._seen():
            has.setdefault(known.worker, set()).add(known.space.name)
        return any({source, pool} <= names for names in has.values())

    def here(self) -> tuple[PoolSpace, ...]:
        """With the free space of at most `SPACE_S` ago: a command may ask for each of its disks."""
        if time.monotonic() - self._measured > SPACE_S:
            self._measured = time.monotonic()
            self._spaces = tuple(
                PoolSpace(pool.name, pool.storage_type, _free_bytes(pool))
                for pool in self._pools.values()
            )
        return self._spaces


def _free_bytes(pool: Pool) -> int:
    """None in a pool that cannot be asked: it is chosen last, and the others go on."""
    try:
        return pool.free_bytes()
    except OSError:
        return 0


def pools_of(settings: Settings | WorkerSettings) -> dict[str, Pool]:
    """The configured pools by name, their directories made; OSError where one cannot be."""
    pools = settings.named_pools()
    for pool in pools.values():
        pool.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return pools


def _service_pools(settings: Settings) -> dict[str, Pool]:
    """Whoever leaves the work to workers has those pools only that it was given."""
    left_to_workers = not settings.copying and (settings.store or store_of(settings.data))
    return {} if left_to_workers and not settings.pools else pools_of(settings)


class OpenLedger(NamedTuple):
    """A ledger and its accounts, without anything that touches images."""

    ledger: Ledger
    accounts: Accounts
    retention: Retention
    clocks: Clocks
    database: Database
    worker_registry: WorkerRegistry | None
    """For a ledger in PostgreSQL, whoever else works on its images; looked at by who works too."""
    failed: asyncio.Event


@asynccontextmanager
async def open_ledger(
    data: Path,
    pools: Mapping[str, Pool] | None = None,
    hosts: tuple[str, ...] = DEFAULT_HOSTS,
    url: str | None = None,
    database: Database | None = None,
) -> AsyncIterator[OpenLedger]:
    """The ledger of a data directory that no other service has; closed on the way out.

    It is in SQLite there, or in the PostgreSQL database of this url, which the directory remembers;
    or in a database that was found already.

    Read models of an earlier shape are rebuilt first. Raises `DataUnusable` where a restore was
    broken off, and `StoreFailed`.
    """
    if is_unfinished(data):
        raise DataUnusable(f"a restore into {data} was broken off: run it again")
    database = database or database_of(data, url)
    opened = database.open()
    remember(data, database)
    failed = asyncio.Event()
    worker_registry = _neighbours(database, pools or {})
    service_environment = ServiceEnvironment(pools or {}, hosts, _seen(worker_registry))
    ledger = Ledger(*opened, service_environment, now=now, on_failure=_setting(failed))
    accounts = Accounts(ledger, now=now, new_id=new_id)
    clocks = new_clocks()
    retention = Retention(ledger, data / ARCHIVES, now=now, new_id=new_id, clocks=clocks)
    try:
        await asyncio.to_thread(_bring_up_to_date, ledger)
        yield OpenLedger(ledger, accounts, retention, clocks, database, worker_registry, failed)
    finally:
        accounts.close()
        await asyncio.to_thread(ledger.close)


def _setting(failed: asyncio.Event) -> Callable[[StoreFailed], None]:
    """What sets the event, called in any thread."""
    loop = asyncio.get_running_loop()

    def on_failure(_: StoreFailed) -> None:
        loop.call_soon_threadsafe(failed.set)

    return on_failure


def _neighbours(database: Database, pools: Mapping[str, Pool]) -> WorkerRegistry | None:
    if not isinstance(database, PostgresDatabase):
        return None
    return WorkerRegistry(database.url, ServiceEnvironment(pools).here)


def _seen(worker_registry: WorkerRegistry | None) -> Callable[[], Sequence[SeenPool]] | None:
    return None if worker_registry is None else worker_registry.seen


def _bring_up_to_date(ledger: Ledger) -> None:
    while ledger.exclusive(is_outdated).result():
        log.info("the read models have an earlier shape: they are rebuilt")
        try:
            rebuilt = rebuild(ledger, lambda _done, _total: None)
            log.info("rebuilt from %d events in %.1f s", rebuilt.events, rebuilt.seconds)
        except AlreadyRebuilding:  # another node is at it, and may break it off
            time.sleep(REBUILDING_S)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """A running service over a data directory that nobody else uses; closed on the way out.

    What the last one left is finished: images are made or removed, copies are taken up again.
    Raises `KeyUnusable` besides what keeps a ledger from being opened.
    """
    pools = _service_pools(settings)
    hosts = settings.compute_hosts
    async with open_ledger(settings.data, pools, hosts, settings.store) as (
        ledger,
        accounts,
        retention,
        clocks,
        database,
        worker_registry,
        failed,
    ):
        signer = signer_of(settings.data, new_id=new_id)
        if ledger.shared:
            _check_key(ledger, signer, settings.data)
        views = database.views(lambda: ledger.commits)
        spaces = ServiceEnvironment(pools, seen=_seen(worker_registry)).pools
        image_keeper = ImageKeeper(ledger, pools, spaces=spaces, new_id=new_id)
        copying = _copy_workers(settings, ledger, pools)
        claims = IdempotencyKeys(ledger, now=now)
        signed = Checkpoints(ledger, signer, now=now)
        feed = Feed(views, frames(copying.figures), on_failure=failed.set)
        ledger.listen(feed.notice, feed.is_followed)
        accounts.listen(feed.dismiss)
        try:
            work = Work(settings, ledger, views, pools, copying, image_keeper)
            working = run_image_work(work, database, worker_registry, copying=settings.copying)
            await accounts.keys.renew()
            async with working, feed, accounts.endings.followed():
                yield Service(
                    ledger=ledger,
                    views=views,
                    archives=Shelf(settings.data / ARCHIVES),
                    accounts=accounts,
                    claims=claims,
                    checkpoints=signed,
                    retention=retention,
                    clocks=clocks,
                    pools=pools,
                    spaces=spaces,
                    intake=image_keeper,
                    feed=feed,
                    figures=copying.figures,
                    copied_bytes=copying.copied_bytes,
                    now=now,
                    new_id=new_id,
                    new_mac=new_mac,
                    new_password=new_password,
                    data=settings.data,
                    database=database,
                    failed=failed,
                )
        finally:
            await asyncio.to_thread(copying.stop)
            await asyncio.to_thread(image_keeper.stop)
            claims.close()
            views.close()


def _check_key(ledger: Ledger, signer: Signer, data: Path) -> None:
    """All who share a ledger sign with one key. Raises `KeyUnusable`."""
    verifier = str(signer.verifier)
    if ledger.exclusive(lambda c: checkpoints.signed_by(c, verifier)).result() != verifier:
        raise KeyUnusable(
            f"{data / KEY_FILE} is not the key of this ledger: copy it and {VERIFIER_FILE}"
            " from the data directory of a process that has the ledger"
        )


@asynccontextmanager
async def open_worker(settings: WorkerSettings) -> AsyncIterator[Worker]:
    """A worker on the pools of a ledger in PostgreSQL.

    On the way out what is under way stops where another can go on. Raises `StoreFailed`.
    """
    database = PostgresDatabase(settings.store)
    pools = pools_of(settings)
    failed = asyncio.Event()
    worker_registry = WorkerRegistry(database.url, ServiceEnvironment(pools).here)
    service_environment = ServiceEnvironment(pools, seen=worker_registry.seen)
    opened = database.open()
    ledger = Ledger(*opened, service_environment, now=now, on_failure=_setting(failed))
    try:
        await asyncio.to_thread(_bring_up_to_date, ledger)
        copying = _copy_workers(settings, ledger, pools)
        image_keeper = ImageKeeper(ledger, pools, spaces=service_environment.pools, new_id=new_id)
        views = database.views(lambda: ledger.commits)
        try:
            work = Work(settings, ledger, views, pools, copying, image_keeper)
            async with run_image_work(work, database, worker_registry, copying=True):
                yield Worker(ledger, copying.copied_bytes, service_environment.here, failed)
        finally:
            await asyncio.to_thread(image_keeper.stop)
            views.close()
    finally:
        await asyncio.to_thread(ledger.close)


def _copy_workers(settings: WorkSettings, ledger: Ledger, pools: Mapping[str, Pool]) -> JobWorkers:
    rate = RateLimit(settings.copy_rate) if settings.copy_rate else None
    copying = Copying(settings.copies_per_pool, rate, settings.verify_copies)
    return JobWorkers(ledger, pools, copying, worker=worker_name())
