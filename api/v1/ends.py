"""`/api/v1/jobs/{uuid}/end` and `/seal`: how a job ends, or an attempt at it."""

from aiohttp import web
from msgspec import UNSET

from api.http.fields import Representation
from api.http.requests import owner_of, uuid_in_url
from api.service.service import Service
from api.v1.bodies import END_BYTES, SMALL_BYTES, Strict, read_strictly
from api.v1.end_bodies import JobEnd, end_of, failure_of
from api.v1.fields import happened_at
from api.v1.jobs import Ignored, JobAnswer, Jobs
from api.v1.representation import Job
from ledger.domain.commands import Command
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.producers.commands import EndJob, SealJob


class EndAnswer(Representation, frozen=True):
    """The job as it has ended. `late`: it had been abandoned, and stays so."""

    job: Job
    late: bool
    ignored: Ignored = UNSET


class SealBody(Strict, frozen=True):
    """Nothing is said of a seal."""


class Ends:
    """Handlers of ends and seals."""

    def __init__(self, service: Service, jobs: Jobs) -> None:
        self._jobs = jobs
        self._now = service.now

    async def end(self, request: web.Request) -> web.Response:
        """End a job, or an attempt at it; who says the same again is told the same."""
        given = await read_strictly(request, JobEnd, most=END_BYTES)
        received_at, body = self._now(), given.body
        known = self._jobs.find(request)
        attempt = self._jobs.attempt_of(request, known, body.attempt)
        at = happened_at(body.observed_at, body.sent_at, received_at)
        command: Command
        if body.final:
            end, words = end_of(body, at)
            alone = body.children == "require"
            command = EndJob(known.uuid, attempt, end, words, alone=alone)
        else:
            command = failure_of(body, known.uuid, attempt, at, received_at)
        await self._jobs.go_on(request, known, attempt)
        await self._jobs.record_last(request, known, attempt)
        await self._jobs.record(request, command, known.uuid)
        job = await self._jobs.shown(request, known.uuid)
        return self._jobs.answer(EndAnswer(job, job.late is not None, given.told), job)

    async def seal(self, request: web.Request) -> web.Response:
        """Let a group get no more jobs below it; a second time changes nothing."""
        given = await read_strictly(request, SealBody, most=SMALL_BYTES)
        uuid = uuid_in_url(request, JobNotFound)
        await self._jobs.record(request, SealJob(owner_of(request), uuid), uuid)
        job = await self._jobs.shown(request, uuid)
        return self._jobs.answer(JobAnswer(job, given.told), job)
