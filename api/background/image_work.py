"""Work on images, begun by whoever has pools and ended on the way out."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from api.data.directory import DataUnusable
from api.data.location import Database, PostgresDatabase
from api.service.ids import new_id
from api.service.settings import WorkSettings
from ledger.application import Ledger
from ledger.domain.events import drive_stream, job_stream
from ledger.images import Pool, write_once
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import identify
from ledger.workers.engine import Workplace, working
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.job_worker import JobWorkers
from ledger.workers.worker_registry import WorkerRegistry
from projections.views.views import Views

log = logging.getLogger(__name__)


def worker_name() -> str:
    """What this process is called as a worker."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Work(NamedTuple):
    """Work on images, and what it takes."""

    settings: WorkSettings
    ledger: Ledger
    views: Views
    pools: Mapping[str, Pool]
    copying: JobWorkers
    image_keeper: ImageKeeper


@asynccontextmanager
async def run_image_work(
    work: Work, database: Database, worker_registry: WorkerRegistry | None, *, copying: bool
) -> AsyncIterator[None]:
    """Work on images: by threads of this process, or by whoever a queue in the database feeds.

    First it is finished what an earlier process left.
    """
    if not isinstance(database, PostgresDatabase):
        await asyncio.to_thread(_start, work, copying=copying)
        yield
        return
    assert worker_registry is not None
    await asyncio.to_thread(_check_pools, database, work.pools)
    await asyncio.to_thread(_start_among_others, work)
    place = Workplace(
        ledger=work.ledger,
        pools=work.pools,
        copying=work.copying,
        image_keeper=work.image_keeper,
        copies_per_pool=work.settings.copies_per_pool if copying else 0,
        unfinished=lambda: _unfinished(work.views),
    )
    async with (
        worker_registry.looking(worker_name() if copying else None),
        working(database.url, place, stalled_s=work.settings.stalled_after),
    ):
        yield


def _check_pools(database: PostgresDatabase, pools: Mapping[str, Pool]) -> None:
    """That pools are called the same wherever they are mounted. Raises `DataUnusable`."""
    with connected(database.url) as connection:
        for pool in pools.values():
            here = write_once(pool.identity_file, new_id())
            there = identify(connection, pool.name, here)
            if here != there:
                raise DataUnusable(
                    f"{pool.path} is not the pool {pool.name} that other processes of this ledger"
                    " have: mount that here, or call this one otherwise with --pool (if it is the"
                    f" same, its file {pool.identity_file.name} must say {there})"
                )


def _start(work: Work, *, copying: bool) -> None:
    with work.views.long_snapshot() as snapshot:
        in_use = snapshot.count_by_pool()
        unready = snapshot.unfinished_drives()
        unfinished = snapshot.running_leaves()
    for pool in in_use.keys() - work.pools.keys():
        log.warning("%d drives are in pool %s, which is not configured", in_use[pool], pool)
    work.image_keeper.start(unready)
    if copying:
        work.copying.start(unfinished)


def _start_among_others(work: Work) -> None:
    with work.views.long_snapshot() as snapshot:
        unready = snapshot.unfinished_drives()
    work.image_keeper.start_among_others(unready)
    work.copying.follow()


def _unfinished(views: Views) -> list[str]:
    """The streams of jobs and drives that may wait for work."""
    with views.long_snapshot() as snapshot:
        jobs, drives = snapshot.running_leaves(), snapshot.unfinished_drives()
    return [job_stream(job) for job in jobs] + [drive_stream(drive) for drive in drives]
