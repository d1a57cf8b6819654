"""`/cancels`: asking many jobs to stop. A filter makes a plan; then the jobs of the plan are asked.

The plan holds the jobs that were found, so nobody stops a job unseen.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from secrets import token_urlsafe
from typing import Annotated, NamedTuple

from aiohttp import web
from multidict import MultiDict

from api.http.fields import Count, Representation, Time, Uuid, about
from api.http.outcome import Changed
from api.http.permissions.call_rates import count_more
from api.http.record import begin_in_parts
from api.http.requests import CALLER, POSITION, owner_of
from api.http.responses import json_answer
from api.http.streams import read_in_lane
from api.service.admission import TooMuch
from api.service.service import Service
from api.v1.bodies import SMALL_BYTES, Strict, read_strictly
from api.v1.lists import wanted_of
from api.v1.problems import Problem, bad_value
from api.v1.stopping.cancels import Asking, to_cancel
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound, JobOver
from ledger.domain.errors.producers import NotCancellable
from ledger.domain.producers.texts import TITLE
from ledger.store.parameters import sliced, timestamp
from ledger.store.tables import cancel_plans
from projections.facets import KEYS
from projections.views.producers.pages import Requirement, Wanted

JOBS_MOST = 10_000
SAMPLE = 10
KEPT = timedelta(minutes=15)
AT_ONCE = 200
"""Jobs that are asked before others may be decided about."""
ANSWER_S = 25.0
"""When the rest is left for the same request again."""
GOES_ON = ("queued", "running")

Values = str | tuple[str, ...] | None


class JobFilter(Strict, frozen=True):
    """The filters of `GET /api/v1/jobs`; each may have several values, one of which must hold."""

    select: str | None = None
    state: Values = None
    condition: Values = None
    operation: Values = None
    source: Values = None
    series: Values = None
    subject: Values = None
    host: Values = None
    parent: Values = None
    root: Values = None
    created_gte: str | None = None
    created_lt: str | None = None


class CancelsBody(Asking, frozen=True):
    """Either a filter, or a plan with what may be said of each request."""

    filter: JobFilter | None = None
    plan: str | None = None


class SampleJob(Representation, frozen=True):
    uuid: Uuid
    operation: str
    title: str | None
    source: str | None


class CancelPlan(Representation, frozen=True):
    """What the filter has found that goes on; nobody was asked yet."""

    plan: Annotated[str, about("Send it to ask these jobs to stop.")]
    expires_at: Time
    count: Count
    sample: tuple[SampleJob, ...]


class ManyCancelled(Representation, frozen=True):
    """What became of the jobs of a plan."""

    asked: Count
    ended: Annotated[Count, about("They had ended, or have just done so.")]
    cannot: Annotated[Count, about("Their producers said that they cannot be cancelled.")]
    left: Annotated[Count, about("Send the same request again to ask these, too.")]


class _Counts(NamedTuple):
    asked: int = 0
    ended: int = 0
    cannot: int = 0


class Plans:
    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._settling = service.settling
        self._now = service.now

    async def cancel(self, request: web.Request) -> web.Response:
        """Answer with a plan of what the filter finds, or ask the jobs of a plan."""
        body = (await read_strictly(request, CancelsBody, most=SMALL_BYTES)).body
        if (body.filter is None) == (body.plan is None):
            raise bad_value("plan", "give either a filter or a plan")
        if body.filter is not None:
            return json_answer(await self._plan(request, body.filter))
        return json_answer(await self._ask(request, body.plan or "", body), 202)

    async def _plan(self, request: web.Request, given: JobFilter) -> CancelPlan:
        owner, now = owner_of(request), self._now()
        wanted, plan = _wanted(given), token_urlsafe(12)
        jobs = await read_in_lane(request, lambda: self._find(owner, wanted))
        if len(jobs) > JOBS_MOST:
            told = f"it finds more than {JOBS_MOST:,} jobs that go on: narrow it"
            raise bad_value("filter", told, limit=JOBS_MOST)
        expires = now + KEPT
        await self._ledger.write(
            lambda c: cancel_plans.add(c, plan, jobs, account=owner, now=now, expires=expires)
        )
        with self._views.snapshot() as snapshot:
            shown = snapshot.shown_jobs(jobs[:SAMPLE], owner, now)
        sample = tuple(
            SampleJob(job.uuid, job.job.operation, job.texts.get(TITLE), job.job.source)
            for job in shown
        )
        return CancelPlan(plan, timestamp(expires), len(jobs), sample)

    def _find(self, owner: str, wanted: Wanted) -> list[str]:
        """Return the jobs that are wanted, or more than may be."""
        found: list[str] = []
        with self._views.long_snapshot() as snapshot:
            step = snapshot.job_page(owner, wanted, self._now(), limit=AT_ONCE)
            while step.next is not None and len(found) + len(step.uuids) <= JOBS_MOST:
                found += step.uuids
                step = snapshot.job_page(owner, wanted, self._now(), key=step.next, limit=AT_ONCE)
        return found + step.uuids

    async def _ask(self, request: web.Request, plan: str, body: CancelsBody) -> ManyCancelled:
        owner, now = owner_of(request), self._now()
        jobs = self._ledger.read(lambda c: cancel_plans.find(c, plan, account=owner, now=now))
        if jobs is None:
            raise Problem("plan-over", "there is no such plan, or it is over")
        note_begun = begin_in_parts(request, Changed(202))
        loop, counts, done = asyncio.get_running_loop(), _Counts(), 0
        until = loop.time() + ANSWER_S
        for some in sliced(jobs, AT_ONCE):
            if loop.time() > until or not _may_ask(request, len(some), is_first=not done):
                break
            counts = await self._ask_some(request, some, body, counts)
            done += len(some)
            note_begun()
        self._settling.set()
        request[POSITION] = self._ledger.position
        return ManyCancelled(*counts, left=len(jobs) - done)

    async def _ask_some(
        self, request: web.Request, jobs: Sequence[str], body: CancelsBody, counts: _Counts
    ) -> _Counts:
        owner, by = owner_of(request), request[CALLER]
        with self._views.snapshot() as snapshot:
            produced = snapshot.produced_jobs(jobs, owner)
        commands = [to_cancel(owner, job, body, is_produced=job in produced) for job in jobs]
        outcomes = await asyncio.gather(
            *(self._ledger.execute(command, by) for command in commands), return_exceptions=True
        )
        for outcome in outcomes:
            counts = _counted(counts, outcome)
        return counts


def _may_ask(request: web.Request, n: int, *, is_first: bool) -> bool:
    """Count jobs that are asked; the request itself counted as one. Raise `TooMuch` for the first.

    Later the rest is left, for another request.
    """
    try:
        count_more(request, "cancels", n - is_first)
    except TooMuch:
        if is_first:
            raise
        return False
    return True


def _counted(counts: _Counts, outcome: int | BaseException) -> _Counts:
    """Count what became of one job. Raise what is no refusal of it alone."""
    match outcome:
        case int():
            return counts._replace(asked=counts.asked + 1)
        case JobOver() | JobNotFound() | JobDiscarded():
            return counts._replace(ended=counts.ended + 1)
        case NotCancellable():
            return counts._replace(cannot=counts.cannot + 1)
        case _:
            raise outcome


def _wanted(given: JobFilter) -> Wanted:
    """Return what goes on of what the filter asks for. Raise the problem `bad-value`."""
    query: MultiDict[str] = MultiDict()
    for name in given.__struct_fields__:
        value = getattr(given, name)
        for each in (value,) if isinstance(value, str) else value or ():
            query.add(name, each)
    if not query:
        raise bad_value("filter", "a filter without anything in it would stop all jobs")
    wanted = wanted_of(query)
    goes_on = Requirement(KEYS["state"], "in", GOES_ON)
    return wanted._replace(requirements=(*wanted.requirements, goes_on))
