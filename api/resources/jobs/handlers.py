"""`/jobs/`: running and ended jobs. All that a client can do to a job is to cancel it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from aiohttp import web

from api.http.errors import BadRequest
from api.http.long_poll import Polled, changed, job_tag, known_to, wait_of
from api.http.outcome import Changed
from api.http.record import record_command
from api.http.requests import (
    ASKING,
    POSITION,
    check_object,
    number,
    owner_of,
    page,
    shown_fields,
    uuid_in_url,
)
from api.http.responses import Shown, answer_of, json_answer, only, page_meta
from api.http.streams import read_in_lane
from api.resources.collections import do_action
from api.resources.jobs.lists import oldest_first, wanted_jobs
from api.resources.jobs.recorded import Recorded
from api.resources.jobs.representation import JobActionResult, represent_activity, represent_job
from api.resources.jobs.time_travel import TimeTravel
from api.resources.lists import Found, Listing, list_answer
from api.resources.references import references
from api.resources.schema import describe_jobs
from api.resources.walks import walk_asked
from api.service.service import Service
from ledger.domain.commands.jobs import CancelJob
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import RequestCancel
from ledger.domain.producers.stops import GRACE_S
from ledger.store.parameters import timestamp
from projections.shown.families import Families
from projections.views.activity import read_activity
from projections.views.jobs import LongTree
from projections.views.snapshot import Snapshot

T = TypeVar("T")

DAY = 24
HOURS_MOST = 30 * DAY


class Jobs:
    """Handlers of the URLs below `/jobs/`."""

    def __init__(self, service: Service, travel: TimeTravel) -> None:
        self._travel = travel
        self._ledger = service.ledger
        self._views = service.views
        self._feed = service.feed
        self._settling = service.settling
        self._admission = service.admission
        self._answers = service.reads.answers
        self._now = service.now
        self._shown = Families(
            service.views,
            Recorded,
            bytes_most=0 if service.ledger.shared else service.limits.shown_bytes,
            wake=service.feed.call_soon,
        )
        service.ledger.listen_first(self._shown.note)

    async def one(self, request: web.Request) -> web.Response:
        """Show the job now, when it has changed (`api.http.long_poll`), or as it was earlier."""
        uuid, owner = uuid_in_url(request, JobNotFound), owner_of(request)
        as_of = self._travel.as_of(request)
        if as_of is not None:
            return await self._travel.job(request, uuid, as_of)
        wait_s = wait_of(request)
        if not wait_s:
            return (await self._read(request, uuid, owner)).answer()

        async def read() -> Polled:
            request[POSITION] = self._ledger.position
            return await self._read(request, uuid, owner)

        known = known_to(request)
        with self._admission.take(request[ASKING], "long-polls"):
            job = await changed(
                self._feed, read, job=uuid, account=owner, known=known, wait_s=wait_s
            )
        # Many may wait for the same change, and all answers are made at once.
        await self._answers.room(request[ASKING])
        return job.answer()

    async def list(self, request: web.Request) -> web.StreamResponse:
        """List the newest change first; a list as of an earlier moment comes only in pages."""
        as_of = self._travel.as_of(request)
        if as_of is not None:
            return await self._travel.list(request, as_of)
        owner, wanted = owner_of(request), wanted_jobs(request)
        asked, fields = page(request), shown_fields(request)
        backwards = oldest_first(request)

        def read(snapshot: Snapshot, uuids: Sequence[str]) -> Sequence[Shown]:
            trees, now = snapshot.jobs_among(uuids, owner), self._now()
            return [only(represent_job(tree, now), fields) for tree in trees]

        def find(snapshot: Snapshot) -> Found:
            total = snapshot.count_jobs(owner, *wanted)
            limit, offset = asked.sql_limit, asked.offset
            uuids = snapshot.listed_jobs(
                owner, *wanted, oldest_first=backwards, limit=limit, offset=offset
            )
            return Found(page_meta(asked, total), uuids, is_short=asked.is_short(total))

        walk = walk_asked(request, "jobs", wanted.all_conditions)
        if walk is not None:
            listing = Listing("jobs", walk.find, read, is_quick=walk.is_short)
        else:
            listing = Listing("jobs", find, read, is_quick=wanted.are_indexed)
        return await list_answer(request, self._views, listing)

    async def statistics(self, request: web.Request) -> web.Response:
        """Show what the account's jobs did in the last hours, in buckets."""
        owner, now, hours = owner_of(request), self._now(), number(request, "hours", DAY)
        if not 1 <= hours <= HOURS_MOST:
            raise BadRequest(f"hours goes from 1 to {HOURS_MOST}", point="hours")

        def read() -> web.Response:
            with self._views.long_snapshot() as snapshot:
                activity = read_activity(snapshot, owner, now, timedelta(hours=hours))
                operations = snapshot.operations(owner)
            return json_answer(represent_activity(activity, operations))

        return await read_in_lane(request, read)

    async def act(self, request: web.Request) -> web.StreamResponse:
        return await do_action(request, {"cancel": self._cancel})

    async def _cancel(self, request: web.Request) -> web.Response:
        """Cancel the job. On return it is over and its results are gone; its thread stops soon.

        A producer's job is only asked: it goes on until its producer ends it.
        """
        uuid = uuid_in_url(request, JobNotFound)
        await check_object(request)
        owner = owner_of(request)
        changed = Changed(202, references("jobs", [uuid]))
        await record_command(request, self._ledger, self._to_cancel(owner, uuid), changed)
        self._settling.set()
        return json_answer(JobActionResult(uuid=uuid), status=202)

    def _to_cancel(self, owner: str, uuid: str) -> CancelJob | RequestCancel:
        with self._views.snapshot() as snapshot:
            row = snapshot.job_row(uuid)
        if row is None or row.source is None:
            return CancelJob(owner, uuid)
        return RequestCancel(owner, uuid, JobCancelRequested(GRACE_S))

    async def schema(self, request: web.Request) -> web.Response:
        return json_answer(describe_jobs(request.app, timestamp(self._now())))

    async def _read(self, request: web.Request, uuid: str, owner: str) -> Polled:
        """Read the job; one with very many below it in a thread."""
        try:
            recorded = _found(uuid, self._shown.job(uuid, owner))
        except LongTree:
            return await read_in_lane(request, lambda: self._read_long(uuid, owner))
        return _polled(recorded, lambda: self._answer(recorded))

    def _read_long(self, uuid: str, owner: str) -> Polled:
        """Read such a job, and make its answer, which takes as long."""
        with self._views.long_snapshot() as snapshot:
            recorded = Recorded(_found(uuid, snapshot.job(uuid, owner)))
        answer = self._answer(recorded)
        return _polled(recorded, lambda: answer)

    def _answer(self, job: Recorded) -> web.Response:
        """Answer with estimates, if the job runs, and an entity tag."""
        shown = job.shown(self._now())
        return answer_of(shown.body, tag=job_tag(job.digest, shown.digest))


def _polled(job: Recorded, answer: Callable[[], web.Response]) -> Polled:
    return Polled(job.has_ended, job.digest, answer)


def _found(uuid: str, job: T | None) -> T:
    if job is None:
        raise JobNotFound(uuid)
    return job
