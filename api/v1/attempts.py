"""`POST /api/v1/jobs/{uuid}/attempts`: taking a job up."""

from datetime import datetime
from typing import Annotated

from aiohttp import web
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from api.http.fields import Representation, about
from api.http.requests import POSITION
from api.service.service import Service
from api.v1.bodies import SMALL_BYTES, Strict, read_strictly
from api.v1.fields import Instance, Moment, Producer, happened_at, holder_of
from api.v1.jobs import Ignored, Jobs
from api.v1.representation import Job
from api.v1.stopping.stops import Cancel
from ledger.domain.errors.producers import RecordedBefore
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import TakeUpJob
from ledger.domain.producers.leases import BEATS_IN_A_LEASE

REPORT_EVERY_S = 1.0
"""How often reports of one job are welcome."""


class NewAttempt(Strict, frozen=True):
    """An attempt that follows another one, or none: `after` is its number, or 0."""

    after: Annotated[int, Meta(ge=0)]
    instance: Instance | None = None
    take_over: Annotated[
        bool, Meta(description="Replace an attempt although it has not been lost.")
    ] = False
    producer: Producer | None = None
    observed_at: Moment | None = None
    sent_at: Moment | None = None


class HeldLease(Representation, frozen=True):
    """For how long a report holds, and how often one should come."""

    expires_in_s: int
    beat_every_s: int


class TakenUp(Representation, frozen=True):
    """What a process needs that works on a job from now on; `attempt` is null if none does."""

    job: Job
    attempt: int | None
    lease: HeldLease | None
    report_every_s: float
    token: Annotated[
        str | None, about("The job's own token; the same each time that it is asked for.")
    ]
    position: int
    clock_offset_ms: Annotated[
        int | None, about("Our clock less yours, if you said when you sent this.")
    ]
    cancel: Annotated[Cancel | None, about("The job is asked to stop already.")]
    ignored: Ignored = UNSET


class Attempts:
    def __init__(self, service: Service, jobs: Jobs) -> None:
        self._jobs = jobs
        self._starts = Starts(service)
        self._now = service.now

    async def begin(self, request: web.Request) -> web.Response:
        """Take a job up: in the queue, lost, or in place of whoever works on it."""
        given = await read_strictly(request, NewAttempt, most=SMALL_BYTES)
        received_at, body = self._now(), given.body
        known = self._jobs.find(request)
        newest = 0 if known.produced is None else known.produced.attempt
        command = TakeUpJob(
            known.uuid,
            body.after,
            holder_of(request, body.instance, body.producer),
            replaces=body.take_over,
            happened_at=happened_at(body.observed_at, body.sent_at, received_at),
        )
        is_new = newest <= body.after
        try:
            await self._jobs.record(request, replace(command, once=is_new), known.uuid)
        except RecordedBefore:  # by another request, at the same moment
            is_new = False
            await self._jobs.record(request, command, known.uuid)
        job = await self._jobs.shown(request, known.uuid)
        offset = clock_offset_ms(received_at, body.sent_at)
        answer = await self._starts.told(request, job, command.holder, offset, given.told)
        return self._jobs.answer(answer, job, 201 if is_new else 200)


class Starts:
    """Tells processes what they need to work on a job."""

    def __init__(self, service: Service) -> None:
        self._accounts = service.accounts

    async def told(
        self,
        request: web.Request,
        job: Job,
        holder: Holder | None,
        offset_ms: int | None,
        ignored: tuple[str, ...] | UnsetType,
    ) -> TakenUp:
        """Return what is told to who works on the job, with the token of its attempt."""
        lease_s = None if job.limits is None else job.limits.lease_s
        token, lease = None, None
        if job.attempt is not None and holder is not None:
            token = await self._accounts.job_token(job.uuid, job.attempt.n, holder.instance)
            if lease_s is not None and not job.done:
                lease = HeldLease(lease_s, lease_s // BEATS_IN_A_LEASE)
        return TakenUp(
            job=job,
            attempt=None if job.attempt is None else job.attempt.n,
            lease=lease,
            report_every_s=REPORT_EVERY_S,
            token=token,
            position=request[POSITION],
            clock_offset_ms=offset_ms,
            cancel=job.cancel,
            ignored=ignored,
        )


def clock_offset_ms(received_at: datetime, sent_at: datetime | None) -> int | None:
    return None if sent_at is None else round((received_at - sent_at).total_seconds() * 1000)
