"""One attempt at a job: what it works with, and how it reports."""

import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Event
from typing import NamedTuple

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command, UpdateProgress
from ledger.domain.errors import JobOver, StaleAttempt, StoreFull
from ledger.domain.events import Fingerprint
from ledger.images.background_sync import Checkpoint
from ledger.images.errors import PoolMissing
from ledger.images.figures import Figures
from ledger.images.pools import Pool
from ledger.images.rate import RateLimit
from ledger.store.writer import Caller

PROGRESS_INTERVAL_S = 1.0
"""The shortest time between two progress events of a job."""
PROGRESS_INTERVAL_MAX_S = 600.0
"""The longest time between two of them while the copy goes on."""
PROGRESS_MAX_PERCENT = 99
"""The most progress that a job shows before it has succeeded."""


class CopySettings(NamedTuple):
    """How images are copied: how many at once into a pool, how fast, and whether read back."""

    per_pool: int
    rate: RateLimit | None
    verify: bool


class Attempt:
    """An attempt that the ledger has recorded as the job's current one.

    `fingerprint` is that of the source's image when the attempt began, or the reason why there is
    none. `stop` is set when the work should end at its next checkpoint.
    """

    def __init__(
        self,
        ledger: Ledger,
        caller: Caller,
        job: Job,
        number: int,
        *,
        source: Drive,
        destination: Drive | None,
        fingerprint: Fingerprint | Exception,
        pools: Mapping[str, Pool],
        copying: CopySettings,
        figures: Figures,
        stop: Event,
    ) -> None:
        self.job = job
        self.number = number
        self.source = source
        self.destination = destination
        self.fingerprint = fingerprint
        self.copying = copying
        self.figures = figures
        self.stop = stop
        self._ledger = ledger
        self._caller = caller
        self._pools = pools
        self._progress = job.progress
        self._last = time.monotonic()

    def pool(self, drive: Drive) -> Pool:
        return pool_of(self._pools, drive)

    def report(self, checkpoint: Checkpoint) -> None:
        """Record a checkpoint for each whole per cent or after ten minutes, at most once a second.

        Raises `Refusal` if the attempt is no longer the current one, and `PoolFull` before what
        must stay free in the pool is taken.
        """
        if self.destination is not None:
            self.pool(self.destination).require_room()
        done, total = checkpoint.bytes_done, checkpoint.bytes_total
        percent = done * 100 // total if total else 0
        progress = max(self._progress, min(percent, PROGRESS_MAX_PERCENT))
        now = time.monotonic()
        pause_s = PROGRESS_INTERVAL_S if progress > self._progress else PROGRESS_INTERVAL_MAX_S
        if now - self._last < pause_s and not self.stop.is_set():
            return
        with suppress(StoreFull):  # live figures show it, and a later attempt copies more again
            self.record(
                UpdateProgress(self.job.uuid, self.number, progress, done, total, checkpoint.offset)
            )
        self._progress, self._last = progress, now

    def start_over(self) -> None:
        """Record that nothing that earlier attempts did can be used."""
        job = self.job
        self.record(UpdateProgress(job.uuid, self.number, job.progress, 0, job.bytes_total, 0))

    def record(self, command: Command) -> None:
        self._ledger.execute_blocking(command, self._caller)

    def require_current(self) -> None:
        """Raise `JobOver`, or `StaleAttempt` if another attempt has replaced this one."""
        job = self._ledger.job(self.job.uuid)
        assert job is not None, f"there is no job {self.job.uuid}"
        if job.state != "started":
            raise JobOver(job.uuid, job.state)
        if job.attempt != self.number:
            raise StaleAttempt(job.uuid, self.number, job.attempt)


def pool_of(pools: Mapping[str, Pool], drive: Drive) -> Pool:
    """Return the pool that a drive's image is in. Raises `PoolMissing`."""
    if drive.pool not in pools:
        raise PoolMissing(f"pool {drive.pool} is not configured")
    return pools[drive.pool]
