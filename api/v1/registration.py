"""`POST /api/v1/jobs` and `PUT /api/v1/jobs/{uuid}`: registering a job."""

import re
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import replace

from api.http.errors import BadRequest
from api.http.fields import UUID
from api.http.outcome import Changed
from api.http.record import keep_no_answer, new_id, record_command
from api.http.requests import GRANT, owner_of
from api.service.service import Service
from api.text.urls import V1_ROOT
from api.text.wording import Wording
from api.v1.attempts import Starts, clock_offset_ms
from api.v1.bodies import REGISTRATION_BYTES, Strict, read_strictly
from api.v1.end_bodies import NewEnd, end_of
from api.v1.fields import (
    BUFFERED,
    LONGEST_AGO,
    GivenLabels,
    GivenLink,
    GivenSubject,
    GivenUuid,
    Instance,
    Moment,
    Name,
    Producer,
    Seconds,
    Words,
    happened_at,
    holder_of,
    links_of,
    subjects_of,
    topics_of,
)
from api.v1.jobs import Jobs, reference
from api.v1.problems import Problem, bad_value
from ledger.domain.errors.producers import (
    AlreadyRegistered,
    ParentOver,
    ParentUnknown,
    RecordedBefore,
)
from ledger.domain.events.producers import Ends, JobRegistered, Limits, OnDeadline, Tolerated
from ledger.domain.producers.commands import RegisterJob
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.producers.limits import CHILDREN_MOST, limits
from ledger.domain.producers.progress import clamped
from ledger.domain.producers.texts import TITLE_MOST
from ledger.store.tables import external_ids

LEASE_DEFAULT_S = 90
"""For a process that has said which one it is, so that it can be expected to beat."""
LATE = timedelta(days=1)
"""What is registered so long after it was observed comes from a spool."""

_TRACEPARENT = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


class NewJob(Strict, frozen=True):
    """A job to register; only its operation is required."""

    operation: Name
    title: Words | None = None
    source: Name | None = None
    external_id: Name | None = None
    series: Name | None = None
    parent: GivenUuid | None = None
    ends: Ends = "self"
    expect_children: Annotated[int, Meta(ge=1, le=CHILDREN_MOST)] | None = None
    tolerate: tuple[Tolerated, ...] = ()
    labels: GivenLabels = field(default_factory=dict)
    subjects: tuple[GivenSubject, ...] = ()
    links: tuple[GivenLink, ...] = ()
    lease_s: Seconds | UnsetType | None = UNSET
    deadline_s: Seconds | None = None
    on_deadline: OnDeadline = "show"
    abandon_after_s: Seconds | None = None
    queue_s: Seconds | None = None
    cancellable: bool = True
    queued: bool = False
    instance: Instance | None = None
    producer: Producer | None = None
    rerun_of: GivenUuid | None = None
    traceparent: Annotated[str, Meta(pattern=_TRACEPARENT)] | None = None
    end: NewEnd | None = None
    buffered: Annotated[bool, Meta(description=BUFFERED)] = False
    started_at: Moment | None = None
    observed_at: Moment | None = None
    sent_at: Moment | None = None


class Registration:
    """Handlers that register jobs."""

    def __init__(self, service: Service, jobs: Jobs) -> None:
        self._jobs = jobs
        self._ledger = service.ledger
        self._starts = Starts(service)
        self._now = service.now

    async def create(self, request: web.Request) -> web.Response:
        """Register a job under a uuid that the service draws, unless its external id finds it."""
        return await self._register(request, None)

    async def put(self, request: web.Request) -> web.Response:
        """Register a job under the uuid that the client has chosen."""
        chosen = request.match_info["uuid"]
        if not UUID.fullmatch(chosen):
            raise BadRequest("the URL ends in a uuid that you draw", point="uuid")
        return await self._register(request, chosen.lower())

    async def _register(self, request: web.Request, chosen: str | None) -> web.Response:
        given = await read_strictly(request, NewJob, most=REGISTRATION_BYTES)
        keep_no_answer(request)  # it has the job's token
        received_at, body = self._now(), given.body
        command = self._command(request, body, received_at, chosen)
        try:
            is_new = await self._record_once(request, command, body, received_at)
        except AlreadyRegistered as error:
            raise self._already_registered(request, error) from None
        uuid = self._uuid(command)
        job = await self._jobs.shown(request, uuid)
        offset_ms = clock_offset_ms(received_at, body.sent_at)
        answer = await self._starts.told(request, job, command.holder, offset_ms, given.told)
        response = self._jobs.answer(answer, job, 201 if is_new else 200)
        response.headers[hdrs.LOCATION] = f"{V1_ROOT}/jobs/{uuid}"
        return response

    def _command(
        self, request: web.Request, body: NewJob, received_at: datetime, chosen: str | None
    ) -> RegisterJob:
        wording = Wording()
        grant, parent = request[GRANT], body.parent and body.parent.lower()
        said = _registered(request, body, received_at, wording)
        registered = grant.restrict(replace(said, token=grant.token), parent)
        works = not body.queued and body.ends == "self"
        holder = holder_of(request, body.instance, body.producer) if works else None
        end, words = None, wording.words
        if body.end is not None:
            end, more = end_of(body.end, _observed(body, received_at))
            words += more
        return RegisterJob(
            owner=owner_of(request),
            job=chosen or new_id(request),
            operation=body.operation,
            registered=registered,
            parent=parent,
            holder=holder,
            end=end,
            chosen=chosen is not None,
            words=words,
        )

    def _uuid(self, command: RegisterJob) -> str:
        """Return the uuid of the job that has the external id, or else the command's."""
        registered = command.registered
        if registered.external_id is None:
            return command.job
        external = ExternalId(command.owner, registered.source, registered.external_id)
        found = self._ledger.read(partial(external_ids.job_of, wanted=external))
        return found or command.job

    async def _record_once(
        self, request: web.Request, command: RegisterJob, body: NewJob, received_at: datetime
    ) -> bool:
        """Record it; return whether it was new. Of two that are the same, at once, only one is."""
        uuid = self._uuid(command)
        if self._jobs.known(request, uuid) is None:
            if body.end is None:
                await self._jobs.check_running(request)
            with suppress(RecordedBefore):
                await self._record(request, replace(command, once=True), body, received_at)
                return True
            uuid = self._uuid(command)
        await self._jobs.check_reach(request, uuid)
        await self._record(request, command, body, received_at)
        return False

    async def _record(
        self, request: web.Request, command: RegisterJob, body: NewJob, received_at: datetime
    ) -> None:
        """Record it; what a spool delivers late goes without a parent that takes no more jobs."""
        changed = Changed(201, (reference(command.job),))
        try:
            await record_command(request, self._ledger, command, changed)
        except (ParentOver, ParentUnknown):
            if received_at - _observed(body, received_at) < LATE:
                raise
            alone = replace(command.registered, was_below=command.parent)
            command = replace(command, registered=alone, parent=None)
            await record_command(request, self._ledger, command, changed)

    def _already_registered(self, request: web.Request, error: AlreadyRegistered) -> Problem:
        """Return the problem with what the client needs to follow the other attempt, or not."""
        fields: dict[str, object] = {"job": error.uuid, "attempt": error.attempt}
        known = self._jobs.known(request, error.uuid)
        if known is not None:
            fields["state"] = known.state
            fields["conditions"] = [each.type for each in known.conditions]
        return Problem("already-registered", str(error), fields)


def _registered(
    request: web.Request, body: NewJob, received_at: datetime, wording: Wording
) -> JobRegistered:
    """Return what is recorded of a registration. Raise `bad-value` for what cannot be."""
    if body.ends == "self" and (body.expect_children is not None or body.tolerate):
        name = "tolerate" if body.expect_children is None else "expect_children"
        raise bad_value(name, 'only a group ("ends": "children") ends by the jobs below it')
    subjects = subjects_of(body.subjects)
    return JobRegistered(
        source=body.source or "",
        limits=_limits(body),
        happened_at=_began(body, received_at),
        ends=body.ends,
        external_id=body.external_id,
        series=body.series,
        title=wording.text(body.title, TITLE_MOST),
        labels=body.labels,
        subjects=subjects,
        links=links_of(body.links),
        cancellable=body.cancellable,
        on_deadline=body.on_deadline,
        expect_children=body.expect_children,
        tolerate=tuple(dict.fromkeys(body.tolerate)),
        trace=body.traceparent or _traceparent(request),
        rerun_of=None if body.rerun_of is None else body.rerun_of.lower(),
        about=topics_of(subjects, request.host),
    )


def _limits(body: NewJob) -> Limits:
    lease_s = body.lease_s
    if lease_s is UNSET:
        lease_s = None if body.instance is None else LEASE_DEFAULT_S
    return limits(
        lease_s=_whole(lease_s),
        deadline_s=_whole(body.deadline_s),
        abandon_after_s=_whole(body.abandon_after_s),
        queue_s=_whole(body.queue_s),
    )


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else clamped(seconds)


def _began(body: NewJob, received_at: datetime) -> datetime:
    """Return by our clock when the work began, or what is registered was observed.

    A `started_at` without `sent_at` is taken as it was said: there is no other sign of that time.
    """
    if body.started_at is not None and body.sent_at is None:
        return min(max(body.started_at, received_at - LONGEST_AGO), received_at)
    return happened_at(body.started_at or body.observed_at, body.sent_at, received_at)


def _observed(body: NewJob, received_at: datetime) -> datetime:
    return happened_at(body.observed_at, body.sent_at, received_at)


def _traceparent(request: web.Request) -> str | None:
    """Return the trace that the request belongs to (W3C); one that is malformed is ignored."""
    given = request.headers.get("traceparent", "")
    return given if re.fullmatch(_TRACEPARENT, given) else None
