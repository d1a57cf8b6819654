"""One attempt at a job: what it works with, and how it reports."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event
from typing import NamedTuple

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.commands.jobs import UpdateProgress
from ledger.domain.errors.jobs import JobOver, StaleAttempt
from ledger.domain.errors.store import StoreFull
from ledger.domain.events.jobs import Fingerprint
from ledger.domain.report_intervals import PROGRESS_INTERVAL_S, silence_allowed_s
from ledger.images.background_sync import Checkpoint
from ledger.images.errors import CopyStopped, PoolMissing
from ledger.images.pools import Pool
from ledger.images.rate import RateLimit
from ledger.images.steps import Steps
from ledger.store.writer import Caller

PROGRESS_MAX_PERCENT = 99
"""The most progress that a job shows before it has succeeded."""
ROOM_S = 5.0
"""The pause before something is recorded again for which the ledger had no room."""


class CopySettings(NamedTuple):
    """How images are copied: how many at once into a pool, how fast, and whether read back."""

    per_pool: int
    rate: RateLimit | None
    verify: bool


class Attempt:
    """An attempt that the ledger has recorded as the job's current one.

    `fingerprint` is that of the source's image when the attempt began, or the reason why there is
    none. `stop` is set when the work should end at its next checkpoint. `on_moved` is to be called
    with the number of bytes that were copied, and `steps` hands out the steps of the copy.
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
        on_moved: Callable[[int], None],
        steps: Steps,
        stop: Event,
    ) -> None:
        self.job = job
        self.number = number
        self.source = source
        self.destination = destination
        self.fingerprint = fingerprint
        self.copying = copying
        self.on_moved = on_moved
        self.steps = steps
        self.stop = stop
        self._ledger = ledger
        self._caller = caller
        self._pools = pools
        self._progress = job.progress
        self._total = job.bytes_total
        self._has_copied = False
        self._began = self._last = time.monotonic()

    def pool(self, drive: Drive) -> Pool:
        return pool_of(self._pools, drive)

    def report(self, checkpoint: Checkpoint) -> None:
        """Record a checkpoint for each whole per cent at most once a second, or after some silence.

        Raises `Refusal` if the attempt is no longer the current one, and `PoolFull` before what
        must stay free in the pool is taken.
        """
        if self.destination is not None:
            self.pool(self.destination).require_room()
        report, is_news = self._report_of(checkpoint), self._is_news(checkpoint)
        now = time.monotonic()
        further = report.progress > self._progress
        pause_s = PROGRESS_INTERVAL_S if further else silence_allowed_s(now - self._began)
        if now - self._last < pause_s and not (is_news or self.stop.is_set()):
            return
        with suppress(StoreFull):  # only progress waits until there is room: the work goes on
            self.record(report)
        self._progress, self._total, self._last = report.progress, report.bytes_total, now

    def _report_of(self, checkpoint: Checkpoint) -> UpdateProgress:
        """Return what to report. The job's total does not change, even if now there is more data.

        A verification is as much work as the copy.
        """
        total = checkpoint.bytes_total if self._total is None else self._total
        done = _share(checkpoint.bytes_done, checkpoint, total)
        verified = None
        worked, work = done, total
        if checkpoint.bytes_verified is not None:
            verified = _share(checkpoint.bytes_verified, checkpoint, total)
            worked, work = done + verified, 2 * total
        percent = min(worked * 100 // work if work else 0, PROGRESS_MAX_PERCENT)
        return UpdateProgress(
            self.job.uuid,
            self.number,
            progress=max(self._progress, percent),
            bytes_done=done,
            bytes_total=total,
            offset=checkpoint.offset,
            bytes_verified=verified,
        )

    def _is_news(self, checkpoint: Checkpoint) -> bool:
        """Return whether all has just been copied and the job's end alone would not say so.

        A verification begins now, or nothing has stated so far how much there was to copy.
        """
        if self._has_copied or checkpoint.bytes_done < checkpoint.bytes_total:
            return False
        self._has_copied = True
        return checkpoint.bytes_verified is not None or self._total is None

    def start_over(self) -> None:
        """Record that nothing that earlier attempts did can be used.

        Wait for room in the ledger: another attempt would only be one more event. Raises
        `CopyStopped` if the work is to end before.
        """
        job = self.job
        report = UpdateProgress(job.uuid, self.number, job.progress, 0, job.bytes_total or 0, 0)
        while True:
            try:
                self.record(report)
            except StoreFull:
                if self.stop.wait(ROOM_S):
                    raise CopyStopped("asked to stop while the ledger has no room") from None
            else:
                return

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


def _share(count: int, checkpoint: Checkpoint, total: int) -> int:
    """Return the part of the job's total that corresponds to `count` bytes of a checkpoint."""
    return count * total // checkpoint.bytes_total if checkpoint.bytes_total else total


def pool_of(pools: Mapping[str, Pool], drive: Drive) -> Pool:
    """Return the pool that a drive's image is in. Raises `PoolMissing`."""
    if drive.pool not in pools:
        raise PoolMissing(f"pool {drive.pool} is not configured")
    return pools[drive.pool]
