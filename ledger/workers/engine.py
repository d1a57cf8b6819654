"""The engine: does tasks from queues in PostgreSQL, with Procrastinate.

For each pool one Procrastinate worker copies images into it, up to a number at once, from the same
pool or from another one that is here; a second worker does the chores, which are short. Both send
heartbeats. Every few seconds each engine checks the tasks of all engines:

- A task whose worker has stopped sending heartbeats goes back into its queue, and its job shows
  that the worker is lost until another takes it up. An engine does so only after it has reached the
  database itself for long enough: otherwise heartbeats may be missing because the database was
  away. The worker may only be paused: a later attempt fences it off (`ledger.workers.job_worker`),
  and it cannot end a task that is no longer its own.
- Outstanding work, according to the ledger, that has no task gets one: after a move from
  SQLite, or where a task ended before its work did.

A task is deleted when it is done. One that fails is retried after growing intervals.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Job

from ledger.application import Ledger
from ledger.domain import image_tasks as tasks
from ledger.domain.aggregates.drive import Drive
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events.drives import drive_stream
from ledger.domain.image_tasks import GrowImage, MakeImage, RemoveFiles, RunJob, Task
from ledger.images.pools import Pool
from ledger.store.patience import OutageLog
from ledger.store.postgres.address import conninfo
from ledger.store.postgres.connections import connected
from ledger.store.postgres.task_queue import defer, lock_for_check, streams_at_work
from ledger.workers import STALLED_S, ending
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.job_worker import JobWorker
from ledger.workers.task_manager import TaskManager

BEATS = 3
"""Heartbeats, and checks of other workers, until a silent one is presumed dead."""
FORGOTTEN_S = 3600.0
"""Procrastinate forgets a worker that sends no heartbeat for this long."""
POLL_S = 5.0
"""How often queues are polled; they are also read when a task is announced."""
CHORES_PER_POOL = 4
"""Chores that run at once."""
CHECK_THREADS = 2
"""Threads for the checks for stalled and for missing tasks, which do not wait for chores."""
RETRY_S = 5
RETRY_MAX_S = 600
RESTART_S = 1.0
CONNECTIONS = 4
RECONNECT_S = 5.0
"""Attempts to connect start over after this long, or the time between two heartbeats. Otherwise the
pauses between them grow, and heartbeats come late once the database is back."""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The task was stopped half way; another worker, or the next start, resumes it."""


class WorkerSetup(NamedTuple):
    """What an engine works on, and what it works with."""

    ledger: Ledger
    pools: Mapping[str, Pool]
    job_worker: JobWorker
    image_keeper: ImageKeeper
    copies_per_pool: int
    """Copies at once; with 0 the engine leaves copies to others and does only chores."""
    unfinished: Callable[[], Sequence[str]]
    """Returns the streams of jobs and drives that may have outstanding work."""


class _Retry(BaseRetryStrategy):
    """Retry stopped tasks at once, and failed tasks after growing intervals."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        if isinstance(exception, Stopped):
            return RetryDecision()
        wait_s = min(RETRY_S * 2 ** min(job.attempts, 10), RETRY_MAX_S)
        return RetryDecision(retry_in={"seconds": wait_s})


@asynccontextmanager
async def run_worker(
    url: str,
    setup: WorkerSetup,
    *,
    stalled_s: float = STALLED_S,
    begin_with: Collection[str] | None = None,
) -> AsyncIterator[Callable[[str], None]]:
    """Do the tasks in this database for the pools that are here, or for some to begin with.

    Yield what begins with another.

    On exit it takes no more tasks; copies under way stop at their next checkpoint, and their tasks
    go back into their queues. Raises `StoreFailed` if the database cannot be reached.
    """
    engine = _Engine(url, setup, stalled_s)
    try:
        await engine.start()
        for pool in setup.pools if begin_with is None else begin_with:
            engine.begin_pool(pool)
        yield engine.begin_pool
    finally:
        await engine.stop()


class _Engine:
    def __init__(self, url: str, setup: WorkerSetup, stalled_s: float) -> None:
        self._url = url
        self._setup = setup
        self._stalled_s = stalled_s
        connector = PsycopgConnector(
            conninfo=conninfo(url),
            min_size=1,
            max_size=CONNECTIONS,
            reconnect_timeout=min(RECONNECT_S, stalled_s / BEATS),
        )
        self._app = App(connector=connector)
        self._tasks = TaskManager(connector)
        self._app.job_manager = self._tasks
        for kind in tasks.KINDS:
            self._app.task(name=kind, retry=_Retry())(_function_for(kind, self._run_task))
        here = len(setup.pools)
        self._copies = ThreadPoolExecutor(max(1, here * setup.copies_per_pool), "copy")
        self._chores = ThreadPoolExecutor(max(1, here * CHORES_PER_POOL) + CHECK_THREADS, "chore")
        self._running: list[asyncio.Task[None]] = []
        self._answered = 0.0
        """When the engine began, or the database last said which workers send no heartbeats."""
        self._answering_since = -math.inf
        """Since when the database has answered every time."""

    async def start(self) -> None:
        try:
            await self._app.open_async()
        except ConnectorException as error:
            raise StoreFailed(f"cannot reach PostgreSQL: {error}") from error
        self._answered = asyncio.get_running_loop().time()
        self._begin(self._keep_checking(self._return_stalled))
        self._begin(self._keep_checking(self._defer_missing))

    def begin_pool(self, pool: str) -> None:
        copies = [tasks.copies_queue(source, pool) for source in self._setup.pools]
        if self._setup.copies_per_pool:
            self._begin(self._keep_working(copies, self._setup.copies_per_pool))
        self._begin(self._keep_working([tasks.chores_queue(pool)], CHORES_PER_POOL))

    async def stop(self) -> None:
        self._tasks.stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.to_thread(self._setup.job_worker.stop)
        if self._running:
            await asyncio.wait(self._running, timeout=ending.ENDS_S)
        await self._app.close_async()
        await asyncio.to_thread(ending.end_threads, (self._copies, self._chores))

    def _begin(self, work: Awaitable[None]) -> None:
        self._running.append(asyncio.ensure_future(work))

    async def _keep_working(self, queues: list[str], at_once: int) -> None:
        """Run a Procrastinate worker, and another one if it loses its connection or its id."""
        while True:
            try:
                await self._app.run_worker_async(
                    queues=queues,
                    concurrency=at_once,
                    fetch_job_polling_interval=POLL_S,
                    delete_jobs=DeleteJobCondition.ALWAYS,
                    install_signal_handlers=False,
                    update_heartbeat_interval=self._stalled_s / BEATS,
                    stalled_worker_timeout=FORGOTTEN_S,
                )
                log.warning("the worker on %s has ended; another one starts", queues)
            except Exception:
                log.exception("the worker on %s has ended; another one starts", queues)
            await self._pause(RESTART_S)

    async def _keep_checking(self, check: Callable[[], Awaitable[None]]) -> None:
        pause_s = self._stalled_s / BEATS
        outage = OutageLog(
            log, "tasks cannot be checked", expected=(StoreFailed, ConnectorException)
        )
        while True:
            try:
                await check()
            except Exception as error:  # noqa: BLE001 - it is logged, and tried again
                outage.failed(error)
            else:
                outage.works()
            await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        """Sleep, or end if the engine is stopping: the cancellation may have been lost."""
        if self._tasks.stopping:
            raise asyncio.CancelledError
        await asyncio.sleep(pause_s)

    async def _stalled(self) -> Sequence[Job]:
        """Return the tasks of workers that have long sent no heartbeat, though they could have.

        Tasks of this process are left out: however late its heartbeats are, it lives.
        """
        manager = self._app.job_manager
        stalled = await manager.get_stalled_jobs(seconds_since_heartbeat=self._stalled_s)
        now = asyncio.get_running_loop().time()
        if now - self._answered > 2 * self._stalled_s / BEATS:
            # We were paused, or the database was away: give others time to send heartbeats.
            self._answering_since = now
        self._answered = now
        if now - self._answering_since < self._stalled_s:
            return []
        return [job for job in stalled if job.id not in self._tasks.held]

    async def _return_stalled(self) -> None:
        """Put stalled tasks back into their queues, and record that their workers are lost.

        An attempt belongs to the dead worker if that worker has the task both before and after the
        attempt is looked up: no other worker can have begun one meanwhile.
        """
        stalled = await self._stalled()
        if not stalled:
            return
        manager, worker = self._app.job_manager, self._setup.job_worker
        run = partial(asyncio.get_running_loop().run_in_executor, self._chores)
        attempts = {
            (job.id, job.worker_id): await run(worker.current_attempt, task.job)
            for job in stalled
            if isinstance(task := _task_of(job), RunJob)
        }
        for job in await self._stalled():
            log.warning("the worker of %s is gone: back to %s", job.task_kwargs, job.queue)
            task, attempt = _task_of(job), attempts.get((job.id, job.worker_id), 0)
            if isinstance(task, RunJob) and attempt:
                await run(worker.lose_attempt, task.job, attempt)
            await manager.retry_job(job)

    async def _defer_missing(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._chores, self._find_and_defer)

    def _find_and_defer(self) -> None:
        """Defer what is missing, unless another engine is doing so.

        Unfinished work is read first: if it ends before the queues are read, it gets one more task,
        which finds nothing to do.
        """
        with connected(self._url) as connection, lock_for_check(connection) as alone:
            if not alone:
                return
            unfinished = self._setup.unfinished()
            at_work = streams_at_work(connection)
            missing = self._outstanding_tasks([each for each in unfinished if each not in at_work])
            defer(connection.raw, missing)
        for task in missing:
            log.info("there was no task for %s", task)

    def _outstanding_tasks(self, streams: Sequence[str]) -> list[Task]:
        if not streams:
            return []
        with self._setup.ledger.now() as current:

            def drive(uuid: str) -> Drive | None:
                found = current(drive_stream(uuid))
                assert found is None or isinstance(found, Drive)
                return found

            found = [tasks.outstanding_task(current(stream), drive) for stream in streams]
        return [task for task in found if task is not None]

    async def _run_task(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        match task:
            case RunJob(job=job):
                if not await loop.run_in_executor(
                    self._copies, self._setup.job_worker.run_attempt, job
                ):
                    raise Stopped
            case MakeImage() | GrowImage() | RemoveFiles():
                await loop.run_in_executor(self._chores, self._setup.image_keeper.run_task, task)


def _task_of(job: Job) -> Task:
    return tasks.decode_task(job.task_name, {name: str(it) for name, it in job.task_kwargs.items()})


def _function_for(
    kind: str, do: Callable[[Task], Awaitable[None]]
) -> Callable[..., Awaitable[None]]:
    async def run(**about: str) -> None:
        await do(tasks.decode_task(kind, about))

    return run
