"""Work on the images of a process's pools: they are made, copied and removed."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from api.background.loop import repeat
from api.data.directory import DataUnusable
from api.data.location import PostgresDatabase
from api.service.ids import new_id
from api.service.service import RunningLedger
from api.service.settings import WorkSettings
from ledger.domain.events.drives import drive_stream
from ledger.domain.events.jobs import job_stream
from ledger.images.asking import answers_of
from ledger.images.files import write_once
from ledger.images.pools import Pool
from ledger.images.rate import RateLimit
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import identify_pool
from ledger.workers.attempts import CopySettings
from ledger.workers.engine import WorkerSetup, run_worker
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.job_worker import JobWorker
from ledger.workers.worker_registry import REFRESH_S
from projections.views.drives import drives_by_pool
from projections.views.views import Views

RESUME_S = 10.0
"""How often images are tried again that could not be made."""

log = logging.getLogger(__name__)


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class ImageWork:
    """Does the work by threads of this process, or as a queue in the database hands it out."""

    def __init__(self, opened: RunningLedger, views: Views, settings: WorkSettings) -> None:
        ledger, pools = opened.ledger, opened.pools
        rate = RateLimit(settings.copy_rate) if settings.copy_rate else None
        copying = CopySettings(settings.copies_per_pool, rate, settings.verify_copies)
        self.job_worker = JobWorker(ledger, pools, copying, worker=worker_name())
        self.image_keeper = ImageKeeper(ledger, pools, opened.environment)
        self._opened = opened
        self._views = views
        self._settings = settings

    @asynccontextmanager
    async def run(self, *, copying: bool) -> AsyncIterator[None]:
        """Finish what an earlier process left, then work until the block is left.

        Without `copying`, copies are left to other processes.
        """
        try:
            if isinstance(self._opened.database, PostgresDatabase):
                async with self._run_beside_others(self._opened.database.url, copying=copying):
                    yield
            else:
                await asyncio.to_thread(self._start, copying=copying)
                async with repeat(
                    self._resume,
                    RESUME_S,
                    failure="images are not made",
                    start_s=RESUME_S,
                    stop=lambda: None,
                ):
                    yield
        finally:
            await asyncio.to_thread(self.job_worker.stop)
            await asyncio.to_thread(self.image_keeper.stop)

    def _start(self, *, copying: bool) -> None:
        with self._views.long_snapshot() as snapshot:
            in_use = drives_by_pool(snapshot.cursor)
            unready = snapshot.unfinished_drives()
            unfinished = snapshot.running_leaves()
        for pool in in_use.keys() - self._opened.pools.keys():
            log.warning("%d drives are in pool %s, which is not configured", in_use[pool], pool)
        self.image_keeper.start(unready)
        if copying:
            self.job_worker.start(unfinished)

    async def _resume(self) -> None:
        """Try again what had no room, or could not be recorded."""
        await asyncio.to_thread(lambda: self.image_keeper.resume(self._unready()))

    def _unready(self) -> list[str]:
        with self._views.long_snapshot() as snapshot:
            return snapshot.unfinished_drives()

    @asynccontextmanager
    async def _run_beside_others(self, url: str, *, copying: bool) -> AsyncIterator[None]:
        opened, registry = self._opened, self._opened.worker_registry
        assert registry is not None
        here = await asyncio.to_thread(_checked_pools, url, opened.pools)
        await asyncio.to_thread(self._start_beside_others, here)
        setup = WorkerSetup(
            ledger=opened.ledger,
            pools=opened.pools,
            job_worker=self.job_worker,
            image_keeper=self.image_keeper,
            copies_per_pool=self._settings.copies_per_pool if copying else 0,
            unfinished=self._unfinished,
        )
        worker = worker_name() if copying else None

        async def refresh() -> None:
            for owed in opened.environment.renew():
                await owed
            # Others would place images in a pool that hangs: it counts as one that is not there.
            answering = [space for space in opened.environment.here() if not space.silent]
            known = [space for space in answering if space.name in here]
            await asyncio.to_thread(registry.refresh, worker, known)

        await refresh()
        stalled_s = self._settings.stalled_after
        async with run_worker(url, setup, stalled_s=stalled_s, begin_with=here) as begin_pool:

            async def begin_late() -> None:
                """Begin with pools that did not answer at the start, and do so now."""
                answering = {space.name for space in opened.environment.here() if not space.silent}
                late = {name: opened.pools[name] for name in answering - here}
                if late:
                    found = await asyncio.to_thread(_checked_pools, url, late)
                    await asyncio.to_thread(self.image_keeper.open_beside_others, found, ())
                    here.update(found)
                    for pool in found:
                        begin_pool(pool)

            async with (
                repeat(
                    refresh,
                    REFRESH_S,
                    failure="other workers' pools are not known",
                    start_s=REFRESH_S,
                ),
                repeat(begin_late, REFRESH_S, failure="a pool is not used", start_s=REFRESH_S),
            ):
                yield

    def _start_beside_others(self, pools: Collection[str]) -> None:
        self.image_keeper.start_beside_others()
        self.image_keeper.open_beside_others(pools, self._unready())
        self.job_worker.follow_cancellations()

    def _unfinished(self) -> list[str]:
        """Return the streams of jobs and drives that may wait for work."""
        with self._views.long_snapshot() as snapshot:
            jobs, drives = snapshot.running_leaves(), snapshot.unfinished_drives()
        return [job_stream(job) for job in jobs] + [drive_stream(drive) for drive in drives]


def _checked_pools(url: str, pools: Mapping[str, Pool]) -> set[str]:
    """Return those that answer.

    Raise `DataUnusable` if the name of one belongs to another pool in other processes.
    """
    identities = answers_of(pools, lambda pool: write_once(pool.identity_file, new_id()))
    with connected(url) as connection:
        for name, here in identities.items():
            pool = pools[name]
            there = identify_pool(connection, name, here)
            if here != there:
                raise DataUnusable(
                    f"{pool.path} is not the pool {pool.name} that other processes of this ledger"
                    " have: mount that here, or call this one otherwise with --pool (if it is the"
                    f" same, its file {pool.identity_file.name} must say {there})"
                )
    return set(identities)
