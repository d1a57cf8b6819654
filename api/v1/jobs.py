"""Jobs of producers: what all handlers do with one, and `GET /api/v1/jobs/{uuid}`."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from aiohttp import hdrs, web
from msgspec import UNSET, UnsetType

from api.http.etags import tag_of
from api.http.fields import Reference, Representation, about
from api.http.outcome import Changed, show
from api.http.permissions.scopes import JOB_SCOPES
from api.http.record import record_command
from api.http.requests import CALLER, GRANT, owner_of, uuid_in_url
from api.http.responses import answer_of, encode
from api.service.service import Service
from api.text.urls import V1_ROOT
from api.v1.missing import missing_job
from api.v1.problems import Problem
from api.v1.representation import ExpectedDuration, Job, Live, represent
from api.v1.stopping.stops import cancels_of, may_know
from ledger.domain.commands import Command
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.errors.producers import AttemptTaken
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import RemoveTexts, TakeUpJob
from ledger.leases.reports import Reporting
from ledger.store.tables import leases
from projections.views.producers.jobs import ShownJob
from projections.views.producers.series import UNKNOWN
from projections.views.snapshot import Snapshot

LOOK_AGAIN_S = 5
"""When to look again at a job that is not over."""

Ignored = Annotated[
    tuple[str, ...] | UnsetType, about("Unknown fields that `Prefer: handling=lenient` ignored.")
]


class JobAnswer(Representation, frozen=True):
    """The job after a change of it."""

    job: Job
    ignored: Ignored = UNSET


class Jobs:
    """Finds, changes and shows the jobs of an account."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._reporting = service.reporting
        self._now = service.now

    async def one(self, request: web.Request) -> web.Response:
        """Show the job as it is now."""
        job = self._show(request, uuid_in_url(request, JobNotFound))
        answer = answer_of(encode(job), tag=tag_of(encode(_recorded(job))))
        return _with_retry(answer, job)

    def find(self, request: web.Request) -> ShownJob:
        """Return the account's job of the URL. Raise `JobNotFound` or `JobDiscarded`."""
        return self._found(request, uuid_in_url(request, JobNotFound))

    def known(self, request: web.Request, uuid: str) -> ShownJob | None:
        """Return the account's job with this uuid, if there is one."""
        with self._views.snapshot() as snapshot:
            return snapshot.shown_job(uuid, owner_of(request), self._now())

    def _found(self, request: web.Request, uuid: str) -> ShownJob:
        shown = self.known(request, uuid)
        if shown is not None:
            return shown
        raise missing_job(self._ledger, uuid, owner_of(request))

    async def record(self, request: web.Request, command: Command, uuid: str) -> None:
        """Record a change of a job."""
        changed = Changed(200, (reference(uuid),))
        await record_command(request, self._ledger, command, changed)

    async def record_last(self, request: web.Request, known: ShownJob, attempt: int) -> None:
        """Record what an attempt said last before it ends, if no event has."""
        if known.produced is not None and known.produced.attempt == attempt:
            await self._reporting.record_last(known.uuid, request[CALLER])

    async def remove_texts(self, request: web.Request) -> web.Response:
        """Remove the words that lie beside the job, for good; none are no error."""
        uuid, owner = uuid_in_url(request, JobNotFound), owner_of(request)
        job = await asyncio.to_thread(self._ledger.job, uuid)
        if job is not None and job.owner == owner:  # nobody drops what another account has said
            await self._reporting.drop_words(uuid)
        command = RemoveTexts(owner, uuid)
        await record_command(request, self._ledger, command, Changed(204))
        return web.Response(status=204)

    async def shown(self, request: web.Request, uuid: str) -> Job:
        """Return the job as it is after a change."""

        async def read() -> Job:
            return self._show(request, uuid)

        return await show(read)

    def _show(self, request: web.Request, uuid: str) -> Job:
        owner, now = owner_of(request), self._now()
        with self._views.snapshot() as snapshot:
            shown = snapshot.shown_job(uuid, owner, now)
            if shown is None:
                self._found(request, uuid)
                raise JobNotFound(uuid)
            viewer = Viewer(owner, now, may_know(request))
            (job,) = represent_all(snapshot, [shown], viewer, self._reporting)
        return job

    async def check_reach(self, request: web.Request, uuid: str) -> None:
        """Raise `ScopeMissing` if the job is none of those that the token may register."""
        await request.app[JOB_SCOPES].check_job(request[GRANT], "jobs:register", uuid)

    async def check_running(self, request: web.Request) -> None:
        """Raise `QuotaExceeded` if as many jobs run as the token may have at once."""
        await request.app[JOB_SCOPES].check_running(request[GRANT])

    def attempt_of(self, request: web.Request, known: ShownJob, said: int | None) -> int:
        """Return the attempt that a producer speaks of: a job's token knows it.

        Otherwise it must be said once there has been more than one. Raise `AttemptReplaced`.
        """
        newest = 0 if known.produced is None else known.produced.attempt
        if known.produced is not None:
            said = request[GRANT].attempt_of(known.uuid, known.produced, said)
        if said is None and newest > 1:
            told = "the job has had several attempts: say which one this is"
            raise Problem("bad-value", told, {"field": "attempt"})
        return newest if said is None else said

    async def go_on(self, request: web.Request, known: ShownJob, attempt: int) -> None:
        """Begin an attempt that the ledger does not know, if it was restored since.

        Only a job's token proves that there was one. Raise `AttemptTaken`.
        """
        newest = 0 if known.produced is None else known.produced.attempt
        if attempt <= newest or known.job.ended is not None:
            return
        grant = request[GRANT]
        if grant.job is None:
            raise AttemptTaken(known.uuid, newest)
        holder = Holder(grant.job.instance, grant.token)
        command = TakeUpJob(known.uuid, attempt - 1, holder, number=attempt)
        await self.record(request, command, known.uuid)

    def answer(self, answer: Representation, job: Job, status: int = 200) -> web.Response:
        """Answer a change of the job."""
        return _with_retry(answer_of(encode(answer), status), job)


class Viewer(NamedTuple):
    """Whose jobs are looked at, and when; `may_know`: whether the email of an account is shown."""

    owner: str
    now: datetime
    may_know: Callable[[str], bool]


def represent_all(
    snapshot: Snapshot, jobs: Sequence[ShownJob], viewer: Viewer, reporting: Reporting
) -> list[Job]:
    """Return jobs of an account with what is not recorded with them."""
    uuids = [each.uuid for each in jobs]
    cancels = cancels_of(snapshot.cursor, uuids, viewer.now, viewer.may_know)
    found = leases.find_many(snapshot.cursor, uuids)
    series = {each.uuid: each.series for each in jobs if each.series is not None}
    expected = snapshot.expected(viewer.owner, sorted(set(series.values()))) if series else {}
    return [
        represent(
            each,
            Live(
                cancels.get(each.uuid),
                ExpectedDuration(*expected.get(series.get(each.uuid, ""), UNKNOWN)),
                reporting.live(each.uuid, found.get(each.uuid)),
            ),
        )
        for each in jobs
    ]


def _with_retry(answer: web.Response, job: Job) -> web.Response:
    if not job.done:
        answer.headers[hdrs.RETRY_AFTER] = str(LOOK_AGAIN_S)
    return answer


def _recorded(job: Job) -> tuple[object, ...]:
    """Return what a tag is of: all that does not change by itself as time passes."""
    return (job.uuid, job.version, job.children, job.conditions, job.cancel is None)


def reference(uuid: str) -> Reference:
    return Reference(resource_uri=f"{V1_ROOT}/jobs/{uuid}", uuid=uuid)
