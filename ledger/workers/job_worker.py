"""Does the jobs whose executor our workers are: copies of images, and whatever else is added.

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
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import FailJob, LoseAttempt, StartAttempt, SucceedJob
from ledger.domain.errors import Refusal, StoreFailed
from ledger.domain.events import Fingerprint, JobCancelled, Role
from ledger.domain.image_tasks import RunJob, task_of_job
from ledger.images import (
    CopyStopped,
    Figures,
    ImageError,
    PartTaken,
    Pool,
    PoolMissing,
    SourceVanished,
    fingerprint,
    remove,
    told_to_the_owner,
)
from ledger.store.seam import Commit
from ledger.store.writer import Caller
from ledger.workers.attempts import Attempt, Copying, pool_of
from ledger.workers.operations import WORK

log = logging.getLogger(__name__)


class JobWorkers:
    """Runs attempts at jobs, in threads of its own for each pool or in the calling one."""

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
            job = self._ledger.job(uuid)
            task = task_of_job(job, self._ledger.drive) if job is not None else None
            if task is not None:
                self._submit(uuid, task.pool)

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
        job = self._ledger.job(uuid)
        return job.attempt if job is not None and job.state == "started" else 0

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
            if isinstance(task, RunJob):
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
        job = self._ledger.job(uuid)
        assert job is not None, f"there is no job {uuid}"
        return job

    def _drive(self, job: Job, role: Role) -> Drive:
        uuid = next(named.uuid for named in job.resources if named.role == role)
        drive = self._ledger.drive(uuid)
        assert drive is not None, f"job {job.uuid} names a drive that does not exist"
        return drive

    def _destination(self, job: Job) -> Drive | None:
        return self._drive(job, "destination") if job.destination("drives") else None

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
        destination = self._destination(self._job(uuid))
        if destination is not None and destination.deleted:
            pool = pool_of(self._pools, destination)
            for path in (pool.image(destination.uuid), *_paths(pool.parts(destination.uuid))):
                remove(path)

    def _attempt(self, job: Job, number: int, stop: threading.Event) -> None:
        """Begin, work, and say how it ended; whatever keeps it from working fails the job."""
        source = self._drive(job, "source")
        destination = self._destination(job)
        taken = self._fingerprint(source)
        # Registered before the attempt is: from that commit on, whoever looks finds live figures.
        self._put_away(job.uuid)
        with self._moving:
            self._figures[job.uuid] = Figures()
        recorded = taken if isinstance(taken, Fingerprint) else None
        self._record(StartAttempt(job.uuid, number, self._caller.actor, recorded))
        attempt = Attempt(
            self._ledger,
            self._caller,
            self._job(job.uuid),  # an earlier attempt may have reported until then
            number,
            source=source,
            destination=destination,
            fingerprint=taken,
            pools=self._pools,
            copying=self._copying,
            figures=self._figures[job.uuid],
            stop=stop,
        )
        try:
            WORK[job.operation](attempt)
        except Refusal:
            self._remove_part(attempt)
            raise
        except (CopyStopped, PartTaken, StoreFailed):
            raise
        except Exception as error:  # noqa: BLE001 - it is told where jobs tell of their failures
            self._fail(attempt, error)
        else:
            self._record(SucceedJob(job.uuid, number))

    def _fingerprint(self, source: Drive) -> Fingerprint | Exception:
        """Return what must not change in the source's image, or what is wrong with it."""
        try:
            return fingerprint(pool_of(self._pools, source).image(source.uuid))
        except FileNotFoundError:
            return SourceVanished(f"the image of drive {source.uuid} is gone")
        except (OSError, ImageError) as error:
            return error

    def _record(self, command: StartAttempt | SucceedJob | FailJob) -> None:
        self._ledger.execute_blocking(command, self._caller)

    def _fail(self, attempt: Attempt, error: Exception) -> None:
        """The destination goes away with the event of its deletion, but its part goes first.

        The ledger may lie in the same file system, and need the room to say that there is none.
        """
        log.warning("job %s failed", attempt.job.uuid, exc_info=error)
        self._remove_part(attempt)
        told = told_to_the_owner(error, "the work failed; the service's log says why")
        self._record(FailJob(attempt.job.uuid, attempt.number, told))

    def _remove_part(self, attempt: Attempt) -> None:
        destination = attempt.destination
        if destination is None:
            return
        with contextlib.suppress(OSError, PoolMissing):
            attempt.pool(destination).part(destination.uuid, attempt.number).unlink()


def _paths(parts: list[tuple[int, Path]]) -> list[Path]:
    return [path for _, path in parts]
