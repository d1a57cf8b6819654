"""Does jobs that workers execute: copies of images, and whatever operations are added.

An attempt begins with an event that fences off reports of earlier ones, resumes from the last
recorded checkpoint, and ends with the job's success or failure. A process that dies leaves the job
running: another one, or the next, resumes it in a new attempt.

With a ledger in SQLite, threads of the server process do the jobs: each pool has a few of its own,
and further jobs wait in state `started`. With PostgreSQL, a queue says when
(`ledger.workers.engine`). Then a process may be paused, be taken for dead, and wake up while
another does its job. It can do no harm: the ledger refuses its reports, and `ledger.images.parts`
says why its writes have no effect. What remains is the moment in which a finished part becomes the
image. Before it, the attempt sees in the ledger that it is the current one. So an attempt that
replaces it begins after that look, and goes through the parts after it has begun. By then it finds
either the part, and takes away the name without which it cannot become the image, or the complete
image.
"""

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands.jobs import FailJob, LoseAttempt, StartAttempt, SucceedJob
from ledger.domain.errors import Refusal
from ledger.domain.errors.store import StoreFailed, StoreUnreachable
from ledger.domain.events.jobs import Fingerprint, JobCancelled, Role
from ledger.domain.image_tasks import RunJob, task_of_job
from ledger.images.errors import (
    CopyStopped,
    ImageError,
    PartTaken,
    PoolMissing,
    SourceVanished,
    owner_reason,
)
from ledger.images.files import fingerprint, remove
from ledger.images.pools import Pool
from ledger.images.steps import FREELY, BesideCommits
from ledger.store.patience import OutageLog
from ledger.store.seam import Commit
from ledger.store.writer import Caller
from ledger.workers.attempts import Attempt, CopySettings, pool_of
from ledger.workers.ending import end_threads
from ledger.workers.operations import WORK

RETRY_S = 5.0
"""How long to wait for room or for the store before the next attempt."""

log = logging.getLogger(__name__)


class JobWorker:
    """Runs attempts at jobs, in threads of its own for each pool or in the calling one."""

    def __init__(
        self, ledger: Ledger, pools: Mapping[str, Pool], copying: CopySettings, *, worker: str
    ) -> None:
        """Attempts are recorded under the name `worker`."""
        self._ledger = ledger
        self._pools = pools
        self._copying = copying
        self._caller = Caller(f"worker:{worker}", "")
        self._stop = threading.Event()
        self._outage = OutageLog(log, "jobs cannot be recorded, and are tried again")
        self._stops: dict[str, threading.Event] = {}
        self._moved = 0
        self._moving = threading.Lock()
        self._threads = {
            name: ThreadPoolExecutor(copying.per_pool, thread_name_prefix=f"copy-{name}")
            for name in pools
        }
        self._steps = {
            between: BesideCommits(ledger.commits_under_way) for between in product(pools, repeat=2)
        }
        """By the pools from which and to which is copied."""

    def start(self, unfinished: Iterable[str]) -> None:
        """Resume the jobs that an earlier process left, and from now on do every new one."""
        self.follow_cancellations()
        self._ledger.listen(self._submit_new)
        for uuid in unfinished:
            job = self._ledger.job(uuid)
            task = task_of_job(job, self._ledger.drive) if job is not None else None
            if task is not None:
                self._submit(uuid, task.pool)

    def follow_cancellations(self) -> None:
        """Stop copies whose jobs are cancelled from now on."""
        self._ledger.listen(self._stop_cancelled, lambda: bool(self._stops))

    def stop(self) -> None:
        """Stop running copies at a checkpoint; the next start resumes them."""
        self._stop.set()
        self._ledger.stop_waiting()
        for stop in list(self._stops.values()):
            stop.set()
        end_threads(self._threads.values(), cancel=True)

    def copied_bytes(self) -> int:
        """Return how many bytes this process has copied; holes do not count."""
        return self._moved

    def current_attempt(self, uuid: str) -> int:
        """Return the number of the job's newest attempt, or 0 if none is running."""
        job = self._ledger.job(uuid)
        return job.attempt if job is not None and job.state == "started" else 0

    def lose_attempt(self, uuid: str, attempt: int) -> None:
        """Record that the worker of this attempt is taken for dead, if it still matters."""
        try:
            self._ledger.execute_blocking(LoseAttempt(uuid, attempt), self._caller)
        except Refusal as refusal:
            log.info("attempt %d of job %s is not lost: %s", attempt, uuid, refusal)

    def run_attempt(self, uuid: str) -> bool:
        """Make one attempt at the job, in the calling thread, if it is still running.

        Return False if the attempt was stopped at a checkpoint. Otherwise the job has ended, or
        another attempt has taken it over, so its task is done. After `StoreFailed` or an unexpected
        exception it is not.
        """
        # Registered before the job is looked up, so that a cancellation is either seen or heard.
        stop = self._stops[uuid] = threading.Event()
        try:
            done = self._try(uuid, stop)
            self._remove_unwanted(uuid)
        finally:
            if self._stops.get(uuid) is stop:
                del self._stops[uuid]
        return done

    def _note_moved(self, count: int) -> None:
        with self._moving:
            self._moved += count

    def _submit_new(self, commit: Commit) -> None:
        for task in commit.tasks:
            if isinstance(task, RunJob):
                self._submit(task.job, task.pool)

    def _stop_cancelled(self, commit: Commit) -> None:
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
                threads.submit(self._run_logged, job)
            except RuntimeError:  # stopped meanwhile: the next start resumes the job
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

    def _run_logged(self, uuid: str) -> None:
        try:
            self._run_until_recorded(uuid)
        except StoreFailed as error:
            log.warning("job %s is left to the next start: %s", uuid, error)
        except Exception:
            log.exception("job %s is left to the next start", uuid)

    def _run_until_recorded(self, uuid: str) -> None:
        """Attempt the job again while its beginning or end cannot be recorded just now."""
        while not self._stop.is_set():
            try:
                self.run_attempt(uuid)
            except StoreUnreachable as error:
                self._outage.failed(error)
                self._stop.wait(RETRY_S)
            else:
                self._outage.works()
                return

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
        except PartTaken as error:
            log.info("job %s is being done by another attempt: %s", uuid, error)
        return True

    def _remove_unwanted(self, uuid: str) -> None:
        """Remove what was still written for a destination that was deleted with its job."""
        destination = self._destination(self._job(uuid))
        if destination is not None and destination.deleted:
            for path in pool_of(self._pools, destination).files(destination.uuid):
                remove(path)

    def _attempt(self, job: Job, number: int, stop: threading.Event) -> None:
        """Begin, work, and record how it ended; any other error fails the job."""
        source = self._drive(job, "source")
        destination = self._destination(job)
        found = self._fingerprint(source)
        recorded = found if isinstance(found, Fingerprint) else None
        self._record(StartAttempt(job.uuid, number, self._caller.actor, recorded))
        attempt = Attempt(
            self._ledger,
            self._caller,
            self._job(job.uuid),  # an earlier attempt may have reported until then
            number,
            source=source,
            destination=destination,
            fingerprint=found,
            pools=self._pools,
            copying=self._copying,
            on_moved=self._note_moved,
            steps=self._steps.get((source.pool, (destination or source).pool), FREELY),
            stop=stop,
        )
        try:
            WORK[job.operation](attempt)
        except Refusal:
            self._remove_part(attempt)
            raise
        except (CopyStopped, PartTaken, StoreFailed):
            raise
        except Exception as error:  # noqa: BLE001 - recorded as the job's failure
            self._fail(attempt, error)
        else:
            self._record(SucceedJob(job.uuid, number))

    def _fingerprint(self, source: Drive) -> Fingerprint | Exception:
        """Return the fingerprint of the source's image, or why it has none."""
        try:
            return fingerprint(pool_of(self._pools, source).image(source.uuid))
        except FileNotFoundError:
            return SourceVanished(f"the image of drive {source.uuid} is gone")
        except (OSError, ImageError) as error:
            return error

    def _record(self, command: StartAttempt | SucceedJob | FailJob) -> None:
        self._ledger.execute_blocking(command, self._caller)

    def _fail(self, attempt: Attempt, error: Exception) -> None:
        """Record the failure, which deletes the destination; remove its part first.

        The ledger may be on the same file system, and need that room to record that it is full.
        """
        log.warning("job %s failed", attempt.job.uuid, exc_info=error)
        self._remove_part(attempt)
        reason = owner_reason(error, "the work failed; the service's log says why")
        self._record(FailJob(attempt.job.uuid, attempt.number, reason))

    def _remove_part(self, attempt: Attempt) -> None:
        destination = attempt.destination
        if destination is None:
            return
        with contextlib.suppress(OSError, PoolMissing):
            attempt.pool(destination).part(destination.uuid, attempt.number).unlink()
