"""Copies images for running jobs, in threads of the server process.

Each pool has its own few threads; jobs beyond them wait in state `started`. An attempt begins with
an event that fences off reports of earlier ones, goes on from the last recorded checkpoint, and
ends with the job's success or failure. A process that dies leaves the job running: the next one
takes it up again in a new attempt.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ledger.application import Ledger
from ledger.commands import FailJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.drive import Drive
from ledger.errors import Refusal, StoreFailed
from ledger.events import (
    DriveCreated,
    Fingerprint,
    JobCancelled,
    JobCreated,
    drive_stream,
    job_stream,
)
from ledger.images import (
    Checkpoint,
    CopyStopped,
    Figures,
    ImageError,
    Pool,
    PoolMissing,
    RateLimit,
    SourceChanged,
    SourceVanished,
    copy_image,
    fingerprint,
    publish,
    remove,
    sync_directory,
    told_to_the_owner,
)
from ledger.job import Job
from ledger.store.seam import Commit
from ledger.store.writer import Caller

PROGRESS_S = 1.0
"""The shortest time between two progress events of a job."""
NOT_YET_DONE = 99
"""Per cent that a job shows at the most before it has succeeded."""

log = logging.getLogger(__name__)


class Copying(NamedTuple):
    """How copies are made: so many at once in a pool, so fast, read back or not."""

    per_pool: int
    rate: RateLimit | None
    verify: bool


class CopyWorkers:
    """Does the jobs whose operation is `drive_clone`."""

    def __init__(
        self, ledger: Ledger, pools: Mapping[str, Pool], copying: Copying, *, worker: str
    ) -> None:
        """`worker` is the name under which attempts are recorded."""
        self._ledger = ledger
        self._pools = pools
        self._copying = copying
        self._caller = Caller(f"worker:{worker}", "")
        self._stop = threading.Event()
        self._stops: dict[str, threading.Event] = {}
        self._figures: dict[str, Figures] = {}
        self._threads = {
            name: ThreadPoolExecutor(copying.per_pool, thread_name_prefix=f"copy-{name}")
            for name in pools
        }

    def start(self, unfinished: Iterable[str]) -> None:
        """Takes up the jobs that an earlier process left, and from now on every new one."""
        self._ledger.listen(self._notice)
        for uuid in unfinished:
            job = self._ledger.current(job_stream(uuid))
            if isinstance(job, Job) and job.destination("drives"):
                self._submit(uuid, self._drive(job, "destination").pool)

    def stop(self) -> None:
        """Ends running copies at a checkpoint; they go on at the next start."""
        self._stop.set()
        for stop in list(self._stops.values()):
            stop.set()
        for threads in self._threads.values():
            threads.shutdown(wait=True, cancel_futures=True)

    def figures(self, job: str) -> Figures | None:
        """The live figures of a job that is being copied here."""
        return self._figures.get(job)

    def _notice(self, commit: Commit) -> None:
        """Queues new clones; a clone's destination is created in the transaction of its job."""
        pools: dict[str, str] = {}
        for stream, recorded in commit.events:
            match recorded.event:
                case DriveCreated(origin="clone", pool=pool):
                    pools[stream.removeprefix("drive-")] = pool
                case JobCreated(operation="drive_clone", resources=resources):
                    for named in resources:
                        if named.role == "destination" and named.uuid in pools:
                            self._submit(stream.removeprefix("job-"), pools[named.uuid])
                case JobCancelled():
                    stop = self._stops.get(stream.removeprefix("job-"))
                    if stop is not None:
                        stop.set()
                case _:
                    pass

    def _submit(self, job: str, pool: str) -> None:
        threads = self._threads.get(pool)
        if threads is None:
            log.error("job %s waits for pool %s, which is not configured", job, pool)
        elif not self._stop.is_set():
            try:
                threads.submit(self._do, job)
            except RuntimeError:  # stopped meanwhile: the next start takes the job up
                log.info("job %s is left to the next start", job)

    def _job(self, uuid: str) -> Job:
        job = self._ledger.current(job_stream(uuid))
        assert isinstance(job, Job), f"job {uuid} never was"
        return job

    def _drive(self, job: Job, role: str) -> Drive:
        uuid = next(named.uuid for named in job.resources if named.role == role)
        drive = self._ledger.current(drive_stream(uuid))
        assert isinstance(drive, Drive), f"job {job.uuid} names a drive that never was"
        return drive

    # In a thread of the pool

    def _do(self, uuid: str) -> None:
        """One attempt at the job, whatever comes of it."""
        # Known before the job is looked at, so that a cancellation is either seen or heard of.
        self._stops[uuid] = threading.Event()
        try:
            self._try(uuid)
            self._remove_unwanted(uuid)
        except StoreFailed as error:
            log.warning("job %s is left to the next start: %s", uuid, error)
        except Exception:
            log.exception("job %s is left to the next start", uuid)
        finally:
            self._figures.pop(uuid, None)
            self._stops.pop(uuid, None)

    def _try(self, uuid: str) -> None:
        try:
            job = self._job(uuid)
            if job.state == "started" and not self._stop.is_set():
                self._attempt(job, job.attempt + 1)
        except CopyStopped:
            log.info("job %s stopped at a checkpoint", uuid)
        except Refusal as refusal:
            log.info("a report of job %s was refused: %s", uuid, refusal)

    def _remove_unwanted(self, uuid: str) -> None:
        """What was still written to a destination that went away with its cancelled job."""
        destination = self._drive(self._job(uuid), "destination")
        if destination.deleted:
            pool = self._pool(destination)
            for path in (pool.image(destination.uuid), *_paths(pool.parts(destination.uuid))):
                remove(path)

    def _attempt(self, job: Job, attempt: int) -> None:
        """Begins, copies, and says how it ended; whatever keeps it from copying fails the job."""
        source, destination = self._drive(job, "source"), self._drive(job, "destination")
        problem: Exception | None = None
        taken: Fingerprint | None = None
        try:
            taken = fingerprint(self._pool(source).image(source.uuid))
        except FileNotFoundError:
            problem = SourceVanished(f"the image of drive {source.uuid} is gone")
        except (OSError, ImageError) as error:
            problem = error
        # Registered before the attempt is: from that commit on, whoever looks finds live figures.
        self._figures[job.uuid] = Figures()
        self._record(StartAttempt(job.uuid, attempt, self._caller.actor, taken))
        try:
            self._copy(job, attempt, source, destination, taken or problem)
        except (CopyStopped, StoreFailed, Refusal):
            raise
        except Exception as error:  # noqa: BLE001 - it is told where jobs tell of their failures
            self._fail(job, attempt, destination, error)
        else:
            self._record(SucceedJob(job.uuid, attempt))

    def _copy(
        self,
        job: Job,
        attempt: int,
        source: Drive,
        destination: Drive,
        taken: Fingerprint | Exception | None,
    ) -> None:
        stop = self._stops[job.uuid]
        pool = self._pool(destination)
        image = pool.image(destination.uuid)
        if image.exists():
            # Published by an attempt that died before it could say so, and perhaps before its name
            # was on disk.
            sync_directory(pool.path)
            return
        if not isinstance(taken, Fingerprint):
            assert taken is not None
            raise taken
        if job.fingerprint is not None and not taken.is_of_a_copy_of(job.fingerprint):
            raise SourceChanged(f"the image of drive {source.uuid} changed between two attempts")
        part = self._own_part(destination, attempt)
        copy_image(
            source=self._pool(source).image(source.uuid),
            part=part,
            size=destination.definition.size,
            resume=Checkpoint(job.offset, job.bytes_done, job.bytes_total) if job.offset else None,
            on_checkpoint=_Reporting(self._ledger, self._caller, job, attempt, stop),
            figures=self._figures[job.uuid],
            rate=self._copying.rate,
            verify=self._copying.verify,
            stop=stop,
            expected=taken,
        )
        publish(part, image)

    def _own_part(self, destination: Drive, attempt: int) -> Path:
        """The part file of this attempt: the last one's, renamed, because its writer is gone."""
        pool = self._pool(destination)
        part = pool.part(destination.uuid, attempt)
        earlier = pool.parts(destination.uuid)
        if earlier:
            earlier.pop()[1].rename(part)
        for _, path in earlier:
            path.unlink()
        return part

    def _pool(self, drive: Drive) -> Pool:
        if drive.pool not in self._pools:
            raise PoolMissing(f"pool {drive.pool} is not configured")
        return self._pools[drive.pool]

    def _record(self, command: StartAttempt | SucceedJob | FailJob) -> None:
        self._ledger.execute_blocking(command, self._caller)

    def _fail(self, job: Job, attempt: int, destination: Drive, error: Exception) -> None:
        """The destination goes away with the event of its deletion, but its part goes first.

        The ledger may lie in the same file system, and need the room to say that there is none.
        """
        log.warning("job %s failed", job.uuid, exc_info=error)
        with contextlib.suppress(OSError, PoolMissing):
            self._pool(destination).part(destination.uuid, attempt).unlink()
        told = told_to_the_owner(error, "the copy failed; the service's log says why")
        self._record(FailJob(job.uuid, attempt, told))


def _paths(parts: list[tuple[int, Path]]) -> list[Path]:
    return [path for _, path in parts]


class _Reporting:
    """Records checkpoints: at most one event for each whole per cent, and one a second."""

    def __init__(
        self, ledger: Ledger, caller: Caller, job: Job, attempt: int, stop: threading.Event
    ) -> None:
        self._ledger = ledger
        self._caller = caller
        self._job = job.uuid
        self._attempt = attempt
        self._stop = stop
        self._progress = job.progress
        self._last = time.monotonic()

    def __call__(self, checkpoint: Checkpoint) -> None:
        done, total = checkpoint.bytes_done, checkpoint.bytes_total
        progress = max(self._progress, min(done * 100 // total if total else 0, NOT_YET_DONE))
        now = time.monotonic()
        due = progress > self._progress and now - self._last >= PROGRESS_S
        if not due and not self._stop.is_set():
            return
        self._ledger.execute_blocking(
            UpdateProgress(self._job, self._attempt, progress, done, total, checkpoint.offset),
            self._caller,
        )
        self._progress, self._last = progress, now
