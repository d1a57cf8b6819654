"""One attempt at a job: what it has to work with, and how it reports."""

import time
from collections.abc import Mapping
from threading import Event
from typing import NamedTuple

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command, UpdateProgress
from ledger.domain.errors import JobOver, StaleAttempt
from ledger.domain.events import Fingerprint
from ledger.images import Checkpoint, Figures, Pool, PoolMissing, RateLimit
from ledger.store.writer import Caller

PROGRESS_S = 1.0
"""The shortest time between two progress events of a job."""
STILL_S = 600.0
"""The longest time between two of them, as long as the work goes on."""
NOT_YET_DONE = 99
"""Per cent that a job shows at the most before it has succeeded."""


class Copying(NamedTuple):
    """How images are copied: so many at once into a pool, so fast, read back or not."""

    per_pool: int
    rate: RateLimit | None
    verify: bool


class Attempt:
    """An attempt that the ledger has recorded as the job's current one.

    `fingerprint` is that of the source's image when the attempt began, or why there is none.
    `stop` is set when the work should end at its next checkpoint.
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
        copying: Copying,
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
        """Return the pool that a drive's image is in. Raises `PoolMissing`."""
        return pool_of(self._pools, drive)

    def report(self, checkpoint: Checkpoint) -> None:
        """Record a checkpoint: one for each whole per cent, or after some minutes; no two a second.

        Raises `Refusal` where the attempt is not the current one any more.
        """
        done, total = checkpoint.bytes_done, checkpoint.bytes_total
        progress = max(self._progress, min(done * 100 // total if total else 0, NOT_YET_DONE))
        now = time.monotonic()
        quiet_s = PROGRESS_S if progress > self._progress else STILL_S
        if now - self._last < quiet_s and not self.stop.is_set():
            return
        self.record(
            UpdateProgress(self.job.uuid, self.number, progress, done, total, checkpoint.offset)
        )
        self._progress, self._last = progress, now

    def start_over(self) -> None:
        """Record that nothing of what earlier attempts did can be used."""
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
