"""Copies images for running jobs.

An attempt begins with an event that fences off reports of earlier ones, goes on from the last
recorded checkpoint, and ends with the job's success or failure. A process that dies leaves the job
running: another one, or the next, takes it up again in a new attempt.

Where the ledger is in SQLite, threads of the server process do it: each pool has its own few, jobs
beyond them wait in state `started`. In PostgreSQL a queue says when (`ledger.workers.engine`). Then
a process may be paused, be taken for dead, and wake up while another does its job. It can do no
harm: the ledger refuses its reports, and `ledger.images.parts` says why its writes come to nothing.
What remains is the moment in which a finished part becomes the image. Before it, the attempt sees
in the ledger that it is the current one; so an attempt that replaces it begins after that look, and
goes through the parts after it has begun. By then it finds either the part, and takes the name away
by which alone it could become the image, or the image, complete.
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
from ledger.commands import FailJob, LoseAttempt, StartAttempt, SucceedJob, UpdateProgress
from ledger.drive import Drive
from ledger.errors import Refusal, StaleAttempt, StoreFailed
from ledger.events import (
    Fingerprint,
    JobCancelled,
    drive_stream,
    job_stream,
)
from ledger.images import (
    Checkpoint,
    CopyStopped,
    Figures,
    ImageError,
    PartTaken,
    Pool,
    PoolMissing,
    RateLimit,
    SourceChanged,
    SourceVanished,
    copy_image,
    fingerprint,
    publish,
    remove,
    take_over,
    told_to_the_owner,
)
from ledger.job import Job
from ledger.store.seam import Commit
from ledger.store.writer import Caller
from ledger.tasks import CopyImage

PROGRESS_S = 1.0
"""The shortest time between two progress events of a job."""
STILL_S = 600.0
"""The longest time between two of them, as long as the copy or its verification goes on."""
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
        self._moved = 0
        self._moving = threading.Lock()
        self._threads = {
            name: ThreadPoolExecutor(copying.per_pool, thread_name_prefix=f"copy-{name}")
            for name in pools
        }

    def start(self, unfinished: Iterable[str]) -> None:
        """Takes up the jobs that an earlier process left, and from now on every new one."""
        self.follow()
        self._ledger.listen(self._notice)
        for uuid in unfinished:
            job = self._ledger.current(job_stream(uuid))
            if isinstance(job, Job) and job.destination("drives"):
                self._submit(uuid, self._drive(job, "destination").pool)

    def follow(self) -> None:
        """From now on stops copies whose jobs are cancelled; others say what is to be done."""
        self._ledger.listen(self._notice_cancellations, lambda: bool(self._stops))

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

    def copied_bytes(self) -> int:
        """What was copied here since this process began; holes are none."""
        with self._moving:
            return self._moved + sum(each.moved for each in self._figures.values())

    def attempt(self, uuid: str) -> int:
        """The number of the job's newest attempt; 0 if there is none that still runs."""
        job = self._ledger.current(job_stream(uuid))
        return job.attempt if isinstance(job, Job) and job.state == "started" else 0

    def lose(self, uuid: str, attempt: int) -> None:
        """Records that the worker of this attempt is taken for dead, if it still matters."""
        try:
            self._ledger.execute_blocking(LoseAttempt(uuid, attempt), self._caller)
        except Refusal as refusal:
            log.info("attempt %d of job %s is not lost: %s", attempt, uuid, refusal)

    def do(self, uuid: str) -> bool:
        """One attempt at the job, in the calling thread, if it still runs.

        False if it was stopped at a checkpoint; else there is nothing more to do for whoever was
        told of the job: it ended, or another attempt has taken it over. Raises `StoreFailed`, and
        what nobody expects; then there is.
        """
        # Known before the job is looked at, so that a cancellation is either seen or heard of.
        stop = self._stops[uuid] = threading.Event()
        try:
            done = self._try(uuid, stop)
            self._remove_unwanted(uuid)
        finally:
            if self._stops.get(uuid) is stop:
                del self._stops[uuid]
                self._put_away(uuid)
        return done

    def _put_away(self, uuid: str) -> None:
        with self._moving:
            figures = self._figures.pop(uuid, None)
            self._moved += figures.moved if figures else 0

    def _notice(self, commit: Commit) -> None:
        """Queues new clones."""
        for task in commit.tasks:
            if isinstance(task, CopyImage):
                self._submit(task.job, task.pool)

    def _notice_cancellations(self, commit: Commit) -> None:
        for stream, recorded in commit.events:
            if isinstance(recorded.event, JobCancelled):
                stop = self._stops.get(stream.removeprefix("job-"))
                if stop is not None:
                    stop.set()

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
        try:
            self.do(uuid)
        except StoreFailed as error:
            log.warning("job %s is left to the next start: %s", uuid, error)
        except Exception:
            log.exception("job %s is left to the next start", uuid)

    def _try(self, uuid: str, stop: threading.Event) -> bool:
        try:
            job = self._job(uuid)
            if job.state == "started":
                if self._stop.is_set():
                    return False
                self._attempt(job, job.attempt + 1, stop)
        except CopyStopped:
            log.info("job %s stopped at a checkpoint", uuid)
            return self._job(uuid).state != "started"
        except Refusal as refusal:
            log.info("a report of job %s was refused: %s", uuid, refusal)
        except PartTaken as taken:
            log.info("job %s is being done by another attempt: %s", uuid, taken)
        return True

    def _remove_unwanted(self, uuid: str) -> None:
        """What was still written to a destination that went away with its cancelled job."""
        destination = self._drive(self._job(uuid), "destination")
        if destination.deleted:
            pool = self._pool(destination)
            for path in (pool.image(destination.uuid), *_paths(pool.parts(destination.uuid))):
                remove(path)

    def _attempt(self, job: Job, attempt: int, stop: threading.Event) -> None:
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
        self._put_away(job.uuid)
        with self._moving:
            self._figures[job.uuid] = Figures()
        self._record(StartAttempt(job.uuid, attempt, self._caller.actor, taken))
        job = self._job(job.uuid)  # an earlier attempt may have reported until then
        try:
            self._copy(job, attempt, source, destination, taken=taken or problem, stop=stop)
        except Refusal:
            self._remove_part(destination, attempt)
            raise
        except (CopyStopped, PartTaken, StoreFailed):
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
        *,
        taken: Fingerprint | Exception | None,
        stop: threading.Event,
    ) -> None:
        pool = self._pool(destination)
        image, part = pool.image(destination.uuid), pool.part(destination.uuid, attempt)
        take_over(pool, destination.uuid, attempt)
        if image.exists():
            # Published by an attempt that could not say so, and perhaps before its name was on
            # disk.
            remove(part)
            return
        if not isinstance(taken, Fingerprint):
            assert taken is not None
            raise taken
        if job.fingerprint is not None and not taken.is_of_a_copy_of(job.fingerprint):
            raise SourceChanged(f"the image of drive {source.uuid} changed between two attempts")
        copy_image(
            source=self._pool(source).image(source.uuid),
            part=part,
            size=destination.definition.size,
            resume=self._resumed(job, attempt, part),
            on_checkpoint=_Reporting(self._ledger, self._caller, job, attempt, stop),
            figures=self._figures[job.uuid],
            rate=self._copying.rate,
            verify=self._copying.verify,
            stop=stop,
            expected=taken,
        )
        self._require_current(job.uuid, attempt)
        try:
            publish(part, image)
        except FileNotFoundError as error:
            raise PartTaken(f"{part} is gone") from error

    def _resumed(self, job: Job, attempt: int, part: Path) -> Checkpoint | None:
        """The recorded checkpoint, if the part holds what it promises; else none is any more.

        Otherwise it would be believed of this attempt's part, as soon as that is as long.
        """
        if not job.offset:
            return None
        if part.exists() and part.stat().st_size >= job.offset:
            return Checkpoint(job.offset, job.bytes_done, job.bytes_total)
        anew = UpdateProgress(job.uuid, attempt, job.progress, 0, job.bytes_total, 0)
        self._ledger.execute_blocking(anew, self._caller)
        return None

    def _require_current(self, uuid: str, attempt: int) -> None:
        job = self._job(uuid)
        if (job.state, job.attempt) != ("started", attempt):
            raise StaleAttempt(f"attempt {attempt} of job {uuid} is not the current one any more")

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
        self._remove_part(destination, attempt)
        told = told_to_the_owner(error, "the copy failed; the service's log says why")
        self._record(FailJob(job.uuid, attempt, told))

    def _remove_part(self, destination: Drive, attempt: int) -> None:
        with contextlib.suppress(OSError, PoolMissing):
            self._pool(destination).part(destination.uuid, attempt).unlink()


def _paths(parts: list[tuple[int, Path]]) -> list[Path]:
    return [path for _, path in parts]


class _Reporting:
    """Records checkpoints: one for each whole per cent, or after some minutes; no two a second."""

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
        quiet_s = PROGRESS_S if progress > self._progress else STILL_S
        if now - self._last < quiet_s and not self._stop.is_set():
            return
        self._ledger.execute_blocking(
            UpdateProgress(self._job, self._attempt, progress, done, total, checkpoint.offset),
            self._caller,
        )
        self._progress, self._last = progress, now
