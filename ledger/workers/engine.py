"""Work that queues in PostgreSQL hand out, by Procrastinate: who takes a task, and what if it dies.

Copies into a pool, from itself or from another pool that is here too, are one worker's of so many
at once; short work in the pool is another's. Both send heartbeats. Every few seconds whoever comes
first looks after all of them:

- A task whose worker sends none any more goes back into its queue, and its job shows that the
  worker is lost until another takes it up; not before whoever looks could
  do so for as long, else heartbeats are missing because the database was away. The worker may live,
  paused: a later attempt fences it off (`ledger.workers.job_worker`), and it ends no task that is
  not its own any more.
- What the ledger says is to be done, and for which there is no task, gets one: after a move from
  SQLite, or where a task came to its end without the work's.

A task is deleted when it is done. One that fails comes again, later and later.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import LiteralString, NamedTuple

from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Job, Status
from procrastinate.manager import JobManager, NotificationCallback, get_channel_for_queues

from ledger.application import Ledger
from ledger.domain import image_tasks as tasks
from ledger.domain.aggregates.drive import Drive
from ledger.domain.errors import StoreFailed
from ledger.domain.events import drive_stream
from ledger.domain.image_tasks import GrowImage, MakeImage, RemoveFiles, RunJob, Task
from ledger.images import Pool
from ledger.store.postgres.address import conninfo
from ledger.store.postgres.connections import connected
from ledger.store.postgres.task_queue import defer, looking, streams_at_work
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.job_worker import JobWorkers

STALLED_S = 30.0
"""A worker that has sent no heartbeat for so long is taken for dead."""
BEATS = 3
"""Heartbeats, and looks after others, in that time."""
FORGOTTEN_S = 3600.0
"""A worker of which nothing is known for so long may be forgotten."""
POLL_S = 5.0
"""How often queues are looked at by those who have not been told of anything."""
CHORES_AT_ONCE = 4
"""In one pool."""
LOOKS = 2
"""After what stalls, and after what is missing; neither waits for chores."""
RETRY_S = 5
RETRY_MOST_S = 600
RESTART_S = 1.0
GIVE_UP_S = 60.0
"""How long a lost connection is waited for; the ledger fails by then, too."""
CONNECTIONS = 4
RECONNECT_S = 5.0
"""After so long attempts to connect begin anew; else there is ever more time between them, and once
the database is back heartbeats come late."""

_FINISH = """
SELECT procrastinate_finish_job_v1(id, %(status)s::procrastinate_job_status, %(delete)s)
FROM procrastinate_jobs
WHERE id = %(id)s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %(worker)s FOR UPDATE
"""
_RETRY = """
SELECT procrastinate_retry_job_v2(id, %(at)s::timestamptz, NULL, NULL, NULL),
    pg_notify(%(channel)s, json_build_object('type', 'job_inserted', 'job_id', id)::text)
FROM procrastinate_jobs
WHERE id = %(id)s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %(worker)s FOR UPDATE
"""
_BEAT = """
INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (%(worker)s)
ON CONFLICT (id) DO UPDATE SET last_heartbeat = now()
"""
_LET_GO = """
SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM procrastinate_jobs
WHERE worker_id = %(worker)s AND status = 'doing' AND id <> ALL(%(held)s::bigint[]) FOR UPDATE
"""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The task was stopped half way; somebody else, or the next start, goes on with it."""


class Workplace(NamedTuple):
    """What a process works on, and with which means."""

    ledger: Ledger
    pools: Mapping[str, Pool]
    copying: JobWorkers
    image_keeper: ImageKeeper
    copies_per_pool: int
    """At once; with 0 it leaves copies to others, and does the short work only."""
    unfinished: Callable[[], Sequence[str]]
    """The streams of jobs and drives for which something may be to be done."""


class _OwnTasks(JobManager):
    """Ends and retries a task only as long as it is the worker's that it was handed to.

    A connection that is lost is waited for: a worker that ended because of it would go on with what
    it does, without heartbeats.
    """

    def __init__(self, connector: PsycopgConnector) -> None:
        super().__init__(connector)
        self._held: set[int | None] = set()
        self.stopping = False

    async def register_worker(self) -> int:
        """Not while stopping: what is cancelled in a statement may go on as if it had not been."""
        worker_id = await super().register_worker()
        if self.stopping:
            raise asyncio.CancelledError
        return worker_id

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """None, too, if the connection is lost; a task that was handed out then is let go."""
        try:
            job = await super().fetch_job(queues, worker_id)
        except ConnectorException as error:
            log.warning("no task could be taken: %s", error)
            await self._surely(_LET_GO, worker=worker_id, held=list(self._held))
            return None
        if job is not None:
            self._held.add(job.id)
        return job

    async def update_heartbeat(self, worker_id: int) -> None:
        """Also of a worker that was forgotten: it could take no task any more."""
        with suppress(ConnectorException):  # the next one comes soon
            await self.connector.execute_query_async(_BEAT, worker=worker_id)

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        while True:
            with suppress(ConnectorException):  # meanwhile the queues are polled
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            await asyncio.sleep(RESTART_S)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001
        await self._surely(
            _FINISH, id=job.id, worker=job.worker_id, status=status.value, delete=delete_job
        )
        self._held.discard(job.id)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Others hear of it at once; Procrastinate tells only of new ones."""
        (channel,) = get_channel_for_queues([job.queue])
        await self._surely(_RETRY, id=job.id, worker=job.worker_id, at=retry_at, channel=channel)
        self._held.discard(job.id)

    async def _surely(self, query: LiteralString, **parameters: object) -> None:
        """As soon as there is a connection. Done twice, these statements do nothing more."""
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            try:
                await self.connector.execute_query_async(query, **parameters)
            except ConnectorException:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(RESTART_S)
            else:
                return


class _Again(BaseRetryStrategy):
    """At once if it was stopped, else later each time."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        if isinstance(exception, Stopped):
            return RetryDecision()
        wait_s = min(RETRY_S * 2 ** min(job.attempts, 10), RETRY_MOST_S)
        return RetryDecision(retry_in={"seconds": wait_s})


@asynccontextmanager
async def working(
    url: str, place: Workplace, *, stalled_s: float = STALLED_S
) -> AsyncIterator[None]:
    """Works on what the queues in this database hand out, for the pools that are here.

    On the way out nothing more is taken; copies under way stop at their next checkpoint, and their
    tasks go back. Raises `StoreFailed` where there is no such database.
    """
    engine = _Engine(url, place, stalled_s)
    try:
        await engine.start()
        yield
    finally:
        await engine.stop()


class _Engine:
    def __init__(self, url: str, place: Workplace, stalled_s: float) -> None:
        self._url = url
        self._place = place
        self._stalled_s = stalled_s
        connector = PsycopgConnector(
            conninfo=conninfo(url),
            min_size=1,
            max_size=CONNECTIONS,
            reconnect_timeout=RECONNECT_S,
        )
        self._app = App(connector=connector)
        self._tasks = _OwnTasks(connector)
        self._app.job_manager = self._tasks
        for kind in tasks.KINDS:
            self._app.task(name=kind, retry=_Again())(_named(kind, self._do))
        here = len(place.pools)
        self._copies = ThreadPoolExecutor(max(1, here * place.copies_per_pool), "copy")
        self._chores = ThreadPoolExecutor(max(1, here * CHORES_AT_ONCE) + LOOKS, "chore")
        self._running: list[asyncio.Task[None]] = []
        self._told = 0.0
        """When this began, or the database last told who sends no heartbeats."""
        self._told_since = -math.inf
        """Since when it has told so time after time."""

    async def start(self) -> None:
        try:
            await self._app.open_async()
        except ConnectorException as error:
            raise StoreFailed(f"cannot reach PostgreSQL: {error}") from error
        self._told = asyncio.get_running_loop().time()
        for pool in self._place.pools:
            copies = [tasks.copies_queue(source, pool) for source in self._place.pools]
            if self._place.copies_per_pool:
                self._begin(self._keep_working(copies, self._place.copies_per_pool))
            self._begin(self._keep_working([tasks.chores_queue(pool)], CHORES_AT_ONCE))
        self._begin(self._keep_looking(self._give_back))
        self._begin(self._keep_looking(self._defer_missing))

    async def stop(self) -> None:
        self._tasks.stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.to_thread(self._place.copying.stop)
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._app.close_async()
        self._copies.shutdown()
        self._chores.shutdown()

    def _begin(self, work: Awaitable[None]) -> None:
        self._running.append(asyncio.ensure_future(work))

    async def _keep_working(self, queues: list[str], at_once: int) -> None:
        """One of Procrastinate's workers; another one, if that loses its connection or its name."""
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
                log.warning("the worker on %s has ended; another one begins", queues)
            except Exception:
                log.exception("the worker on %s has ended; another one begins", queues)
            await self._pause(RESTART_S)

    async def _keep_looking(self, look: Callable[[], Awaitable[None]]) -> None:
        pause_s = self._stalled_s / BEATS
        while True:
            try:
                await look()
            except (StoreFailed, ConnectorException) as error:
                log.warning("tasks could not be looked after: %s", error)
            except Exception:
                log.exception("tasks could not be looked after")
            await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        """The end, while stopping: it may be that nobody heard of being cancelled."""
        if self._tasks.stopping:
            raise asyncio.CancelledError
        await asyncio.sleep(pause_s)

    async def _stalled(self) -> Sequence[Job]:
        """The tasks of those that have sent no heartbeat for long, though they could."""
        manager = self._app.job_manager
        stalled = await manager.get_stalled_jobs(seconds_since_heartbeat=self._stalled_s)
        now = asyncio.get_running_loop().time()
        if now - self._told > 2 * self._stalled_s / BEATS:
            # It was paused, or the database was away: then others' heartbeats, too, come first.
            self._told_since = now
        self._told = now
        return [*stalled] if now - self._told_since >= self._stalled_s else []

    async def _give_back(self) -> None:
        """Puts stalled tasks back into their queues, and shows the jobs without their workers.

        An attempt is its dead worker's if that has the task before and after the attempt is looked
        up: meanwhile nobody else can have begun one.
        """
        stalled = await self._stalled()
        if not stalled:
            return
        manager, copying = self._app.job_manager, self._place.copying
        run = partial(asyncio.get_running_loop().run_in_executor, self._chores)
        attempts = {
            (job.id, job.worker_id): await run(copying.attempt, task.job)
            for job in stalled
            if isinstance(task := _task(job), RunJob)
        }
        for job in await self._stalled():
            log.warning("the worker of %s is gone: back to %s", job.task_kwargs, job.queue)
            task, attempt = _task(job), attempts.get((job.id, job.worker_id), 0)
            if isinstance(task, RunJob) and attempt:
                await run(copying.lose, task.job, attempt)
            await manager.retry_job(job)

    async def _defer_missing(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._chores, self._defer_what_is_missing)

    def _defer_what_is_missing(self) -> None:
        """Where nobody else does.

        What is unfinished is looked at first: what is over when the queues are looked at gets a
        task more, which finds nothing to do.
        """
        with connected(self._url) as connection, looking(connection) as alone:
            if not alone:
                return
            unfinished = self._place.unfinished()
            at_work = streams_at_work(connection)
            missing = self._outstanding([each for each in unfinished if each not in at_work])
            defer(connection.raw, missing)
        for task in missing:
            log.info("there was no task for %s", task)

    def _outstanding(self, streams: Sequence[str]) -> list[Task]:
        if not streams:
            return []
        with self._place.ledger.now() as current:

            def drive(uuid: str) -> Drive | None:
                found = current(drive_stream(uuid))
                assert found is None or isinstance(found, Drive)
                return found

            found = [tasks.outstanding_task(current(stream), drive) for stream in streams]
        return [task for task in found if task is not None]

    async def _do(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        match task:
            case RunJob(job=job):
                if not await loop.run_in_executor(self._copies, self._place.copying.do, job):
                    raise Stopped
            case MakeImage() | GrowImage() | RemoveFiles():
                await loop.run_in_executor(self._chores, self._place.image_keeper.do, task)


def _task(job: Job) -> Task:
    return tasks.decode_task(job.task_name, {name: str(it) for name, it in job.task_kwargs.items()})


def _named(kind: str, do: Callable[[Task], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run(**about: str) -> None:
        await do(tasks.decode_task(kind, about))

    return run
