"""How Procrastinate's tasks are taken, ended and retried here.

Procrastinate's `JobManager` is overridden, and its SQL functions are called, in this module only.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import LiteralString

from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, NotificationCallback, get_channel_for_queues

from ledger.store.patience import OutageLog

RETRY_S = 1.0
GIVE_UP_S = 60.0
"""How long to wait for a lost connection; the ledger fails by then, too."""

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
_RELEASE = """
SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM procrastinate_jobs
WHERE worker_id = %(worker)s AND status = 'doing' AND id <> ALL(%(held)s::bigint[]) FOR UPDATE
"""

log = logging.getLogger(__name__)


class TaskManager(JobManager):
    """Ends and retries a task only while it belongs to the worker that it was given to.

    A lost connection is waited for: a worker that ended because of it would go on with its tasks
    without heartbeats.
    """

    def __init__(self, connector: PsycopgConnector) -> None:
        super().__init__(connector)
        self.held: set[int | None] = set()
        """The tasks that this process was given, and has neither ended nor returned."""
        self.stopping = False
        self._outage = OutageLog(log, "no task can be taken", expected=(ConnectorException,))

    async def register_worker(self) -> int:
        """Register no worker while stopping: a statement may swallow the cancellation."""
        worker_id = await super().register_worker()
        if self.stopping:
            raise asyncio.CancelledError
        return worker_id

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Return None also if the connection is lost; a task that was given out then goes back."""
        try:
            job = await super().fetch_job(queues, worker_id)
        except ConnectorException as error:
            self._outage.failed(error)
            await self._execute(_RELEASE, worker=worker_id, held=list(self.held))
            return None
        self._outage.works()
        if job is not None:
            self.held.add(job.id)
        return job

    async def update_heartbeat(self, worker_id: int) -> None:
        """Bring back a worker that was forgotten, too: it could take no more tasks."""
        with suppress(ConnectorException):  # the next heartbeat comes soon
            await self.connector.execute_query_async(_BEAT, worker=worker_id)

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        while True:
            with suppress(ConnectorException):  # meanwhile the queues are polled
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            await asyncio.sleep(RETRY_S)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001
        try:
            await self._execute(
                _FINISH, id=job.id, worker=job.worker_id, status=status.value, delete=delete_job
            )
        finally:
            self.held.discard(job.id)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Notify other workers at once; Procrastinate notifies them of new tasks only."""
        (channel,) = get_channel_for_queues([job.queue])
        try:
            await self._execute(
                _RETRY, id=job.id, worker=job.worker_id, at=retry_at, channel=channel
            )
        finally:
            self.held.discard(job.id)

    async def _execute(self, query: LiteralString, **parameters: object) -> None:
        """Wait for a connection if need be. Repeated, these statements do nothing more."""
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            try:
                await self.connector.execute_query_async(query, **parameters)
            except ConnectorException:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(RETRY_S)
            else:
                return
