"""The composition root: the one place that builds a service out of its parts."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from api.accounts.limits import DEFAULT_LIMITS, LoginLimits
from api.accounts.service import Accounts
from api.background.checkpoints import keep_checkpoints
from api.background.expiry import delete_expired, expiring_things
from api.background.image_work import ImageWork
from api.background.leases import look_after_leases
from api.background.logins import follow_revocations, follow_sessions, store_uses
from api.background.retention import discard_due
from api.background.settling import settle_unattended
from api.background.store_time import ask_for_time
from api.data.directory import DataUnusable
from api.data.idempotency_keys import IdempotencyKeys
from api.data.location import (
    Database,
    PostgresDatabase,
    SqliteDatabase,
    database_of,
    remember,
    store_of,
)
from api.resources.frames import frames
from api.service.admission import Admission
from api.service.clocks import Clocks, now
from api.service.environment import ServiceEnvironment, new_mac, new_password
from api.service.heavy_reads import HeavyReads
from api.service.ids import new_id
from api.service.request_rates import CallRates, RequestRates
from api.service.service import (
    DirectoryParts,
    OpenLedger,
    RunningLedger,
    Service,
    ServiceParts,
    Worker,
    join_ledger,
    join_service,
)
from api.service.settings import DEFAULT_HOSTS, DEFAULT_RANGE, Settings, WorkerSettings
from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.domain.disk_space import RESERVE_MOST, reserve_bytes
from ledger.domain.errors.store import PauseLost, StoreFailed
from ledger.domain.quotas import NO_QUOTAS, Quotas
from ledger.images.asking import answers_of
from ledger.images.files import make_directory
from ledger.images.pools import Pool
from ledger.leases.held_beats import HeldBeats
from ledger.leases.known_jobs import KnownJobs
from ledger.leases.reports import Reporting
from ledger.merkle.signed_note import Signer
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE, KeyUnusable, signer_of
from ledger.store.lease import PATIENCE_S
from ledger.store.tables import checkpoints
from ledger.workers.worker_registry import WorkerRegistry
from projections.feed.feed import REPEAT_S, Feed
from projections.maintenance.backup.restoration import is_unfinished
from projections.maintenance.rebuild import AlreadyRebuilding, NotCompared, rebuild
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.service import Retention
from projections.maintenance.retention.spent import spend_archived
from projections.views.generations import is_outdated
from projections.views.views import Views

REBUILDING_S = 1.0

log = logging.getLogger(__name__)


def pools_of(settings: Settings | WorkerSettings) -> dict[str, Pool]:
    """Return the configured pools by name, and make their directories. Raise OSError."""
    pools = settings.named_pools()
    answers_of(pools, lambda pool: make_directory(pool.path))
    return pools


def _service_pools(settings: Settings) -> dict[str, Pool]:
    """Return only pools that were named if the work is left to workers."""
    left_to_workers = not settings.copying and (settings.store or store_of(settings.data))
    return {} if left_to_workers and not settings.pools else pools_of(settings)


@asynccontextmanager
async def open_ledger(
    data: Path,
    pools: Mapping[str, Pool] | None = None,
    hosts: tuple[str, ...] = DEFAULT_HOSTS,
    url: str | None = None,
    database: Database | None = None,
    *,
    addresses: IPv4Network = DEFAULT_RANGE,
    limits: LoginLimits = DEFAULT_LIMITS,
    quotas: Quotas = NO_QUOTAS,
    reserve: int = 0,
) -> AsyncIterator[OpenLedger]:
    """Open the ledger of a data directory that no other service has; close it on the way out.

    It is in SQLite there, or in the PostgreSQL database of this url, which the directory remembers;
    or in a `database` that was found already. With SQLite a `reserve` of at most so many bytes is
    kept on its disk.

    Raises `DataUnusable` after a restore that was broken off, and `StoreFailed`.
    """
    if is_unfinished(data):
        raise DataUnusable(f"a restore into {data} was broken off: run it again")
    database = database or database_of(data, url)
    async with _run_ledger(
        database, pools or {}, hosts, data, reserve=reserve, quotas=quotas, addresses=addresses
    ) as running:
        ledger = running.ledger
        clocks = Clocks(ledger.clock, new_id)
        accounts = Accounts(ledger, now=ledger.clock.now, new_id=new_id, limits=limits)
        retention = Retention(
            ledger,
            data / ARCHIVES,
            now=ledger.clock.now,
            new_id=new_id,
            clocks=clocks,
            patience_s=PATIENCE_S,
        )
        try:
            yield join_ledger(running, DirectoryParts(accounts, retention, clocks))
        finally:
            accounts.close()


@asynccontextmanager
async def _run_ledger(
    database: Database,
    pools: Mapping[str, Pool],
    hosts: tuple[str, ...],
    data: Path | None = None,
    *,
    reserve: int = 0,
    quotas: Quotas = NO_QUOTAS,
    addresses: IPv4Network,
) -> AsyncIterator[RunningLedger]:
    """Open the ledger in a database, and rebuild read models of an earlier version.

    `data` is a directory that remembers the database.
    """
    opened = database.open(reserve=reserve)
    if isinstance(database, SqliteDatabase):
        pools = _beside_ledger(pools, database.file.parent, reserve)
    if data is not None:
        remember(data, database)
    registry = WorkerRegistry(database.url) if isinstance(database, PostgresDatabase) else None
    environment = ServiceEnvironment(pools, hosts, registry, quotas, addresses)
    failed = asyncio.Event()
    ledger = Ledger(*opened, environment, now=now, on_failure=_setter(failed))
    try:
        await asyncio.to_thread(_bring_up_to_date, ledger)
        yield RunningLedger(ledger, pools, environment, database, registry, failed)
    finally:
        await asyncio.to_thread(ledger.close)
        await asyncio.to_thread(environment.close)
        if registry is not None:
            await asyncio.to_thread(registry.close)


def _beside_ledger(pools: Mapping[str, Pool], data: Path, reserve: int) -> dict[str, Pool]:
    """Let images in the pools leave room for the ledger, where both are on the same disk."""
    disk = os.statvfs(data)
    kept = 2 * reserve_bytes(disk.f_blocks * disk.f_frsize, reserve)
    device = data.stat().st_dev
    devices = answers_of(pools, lambda pool: pool.path.stat().st_dev)
    return {
        name: replace(pool, kept_for_ledger=kept) if devices.get(name, device) == device else pool
        for name, pool in pools.items()
    }


def _setter(failed: asyncio.Event) -> Callable[[StoreFailed], None]:
    """Return a function that sets the event from any thread."""
    loop = asyncio.get_running_loop()

    def on_failure(_: StoreFailed) -> None:
        loop.call_soon_threadsafe(failed.set)

    return on_failure


def _bring_up_to_date(ledger: Ledger) -> None:
    while ledger.exclusive(is_outdated).result():
        log.info("the read models have an earlier version: they are rebuilt")
        try:
            rebuilt = rebuild(ledger, lambda _done, _total: None)
            log.info("rebuilt from %d events in %.1f s", rebuilt.events, rebuilt.seconds)
        except AlreadyRebuilding:  # by another node, which may break it off
            time.sleep(REBUILDING_S)
        except (NotCompared, PauseLost):
            log.warning("the rebuilt read models are not compared: others may have changed them")


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Run a service over a data directory that nobody else uses; close it on the way out.

    It does all that a service does by itself: it finishes what the last one left, works on images,
    keeps checkpoints, discards and deletes what is due. Raises `KeyUnusable`, and what keeps a
    ledger from being opened.
    """
    reserve = RESERVE_MOST if settings.reserve is None else settings.reserve
    async with open_ledger(
        settings.data,
        _service_pools(settings),
        settings.compute_hosts,
        settings.store,
        addresses=settings.address_range,
        limits=settings.limits,
        quotas=settings.limits.quotas,
        reserve=reserve,
    ) as opened:
        await asyncio.to_thread(spend_archived, opened.ledger, Shelf(settings.data / ARCHIVES))
        signer = _signer_of(opened.ledger, settings.data)
        views = opened.database.views(lambda: opened.ledger.commits)
        work = ImageWork(opened, views, settings)
        service = _service_of(opened, settings, signer, views, work)
        try:
            async with work.run(copying=settings.copying), service.feed, _upkeep(service):
                yield service
        finally:
            await asyncio.to_thread(service.reads.close)
            service.idempotency_keys.close()
            views.close()


def _signer_of(ledger: Ledger, data: Path) -> Signer:
    """Return what signs checkpoints, by the one key that all nodes of a shared ledger have."""
    signer = signer_of(data, new_id=new_id)
    if ledger.shared:
        _check_key(ledger, signer, data)
    return signer


def _check_key(ledger: Ledger, signer: Signer, data: Path) -> None:
    """Raise `KeyUnusable` unless the key is the one by which all nodes of the ledger sign."""
    verifier = str(signer.verifier)
    if ledger.exclusive(lambda c: checkpoints.signed_by(c, verifier)).result() != verifier:
        raise KeyUnusable(
            f"{data / KEY_FILE} is not the key of this ledger: copy it and {VERIFIER_FILE}"
            " from the data directory of a process that has the ledger"
        )


def _service_of(
    opened: OpenLedger, settings: Settings, signer: Signer, views: Views, work: ImageWork
) -> Service:
    ledger, limits = opened.ledger, settings.limits
    admission = Admission(limits)
    beats, known = HeldBeats(ledger), KnownJobs(ledger)
    parts = ServiceParts(
        views=views,
        archives=Shelf(settings.data / ARCHIVES),
        idempotency_keys=IdempotencyKeys(ledger, now=ledger.clock.now),
        checkpoints=Checkpoints(ledger, signer, now=ledger.clock.now),
        intake=work.image_keeper,
        feed=_feed_of(opened, views),
        copied_bytes=work.job_worker.copied_bytes,
        now=ledger.clock.now,
        new_id=new_id,
        new_mac=new_mac,
        new_password=new_password,
        data=settings.data,
        trusted_proxies=settings.trusted_proxies,
        limits=limits,
        admission=admission,
        reads=HeavyReads(admission, limits),
        settling=asyncio.Event(),
        call_rates=CallRates(limits, time.monotonic),
        beats=beats,
        reporting=Reporting(ledger, beats, known),
        rates=RequestRates(limits.requests_per_second, limits.requests_burst, time.monotonic),
    )
    return join_service(opened, parts)


def _feed_of(opened: OpenLedger, views: Views) -> Feed:
    """Return the feed of all commits; an account that is logged out hears no more of it."""
    feed = Feed(
        views,
        frames(opened.ledger.clock.now),
        on_failure=opened.failed.set,
        repeat_s=REPEAT_S,
    )
    opened.ledger.listen(feed.notice, feed.is_followed)
    opened.accounts.listen(feed.dismiss)
    return feed


@asynccontextmanager
async def _upkeep(service: Service) -> AsyncIterator[None]:
    """Do what a service does from time to time, in the background."""
    ledger, accounts = service.ledger, service.accounts
    async with (
        ask_for_time(ledger),
        follow_revocations(accounts.revocations),
        follow_sessions(accounts.sessions),
        store_uses(accounts.tokens),
        delete_expired(expiring_things(service)),
        keep_checkpoints(ledger, service.checkpoints),
        discard_due(service.retention),
        settle_unattended(ledger, service.settling),
        look_after_leases(ledger, service.views, service.beats),
    ):
        yield


@asynccontextmanager
async def open_worker(settings: WorkerSettings) -> AsyncIterator[Worker]:
    """Run a worker on the pools of a ledger in PostgreSQL.

    On the way out, work stops where another worker can go on. Raises `StoreFailed`.
    """
    database = PostgresDatabase(settings.store)
    async with _run_ledger(
        database, pools_of(settings), settings.compute_hosts, addresses=settings.address_range
    ) as running:
        views = database.views(lambda: running.ledger.commits)
        work = ImageWork(running, views, settings)
        try:
            async with work.run(copying=True), ask_for_time(running.ledger):
                yield Worker(
                    ledger=running.ledger,
                    environment=running.environment,
                    failed=running.failed,
                    copied_bytes=work.job_worker.copied_bytes,
                )
        finally:
            views.close()
