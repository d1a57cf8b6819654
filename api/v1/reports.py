"""`POST /api/v1/jobs/{uuid}/reports`, `POST /api/v1/reports`: how running jobs are doing.

This is what producers call most. A report is never refused for its figures, nor for coming often.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
from aiohttp import web
from msgspec import UNSET, Meta, Raw, UnsetType, field
from msgspec.structs import replace

from api.accounts.grants import Grant, ScopeMissing
from api.accounts.scopes import Scope
from api.http.fields import UUID, Representation, about
from api.http.requests import CALLER, GRANT, owner_of, uuid_in_url
from api.http.responses import json_answer
from api.service.service import Service
from api.text.wording import Wording
from api.v1.bodies import (
    REPORT_BYTES,
    Given,
    Strict,
    decode_strictly,
    is_lenient,
    read_strictly,
    read_value,
    writable,
)
from api.v1.fields import Moment, happened_at, wanted_at
from api.v1.problems import bad_value, problem_answer
from api.v1.stopping.stops import Cancel, may_know, shown
from ledger.domain.aggregates.job import Job
from ledger.domain.errors import Expected
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.events.producers import Holder, Items, Phase, ProgressReported, TotalIs
from ledger.domain.producers.progress import MOST, clamped
from ledger.domain.producers.texts import MESSAGE_MOST, storable
from ledger.leases.figures import Waiting
from ledger.leases.reports import Answer, Report, Said

BATCH_BYTES = 1024**2
BATCH_MOST = 500
UNIT_LENGTH = 16
NAME_BYTES = 200
SCOPE: Scope = "jobs:report"
AT_ONCE = 50
"""Reports of a batch that are taken beside each other."""

Number = Annotated[
    int | float, about("Fractions are cut; what cannot be is brought inside 0 to 2^53 - 1.")
]


class GivenProgress(Strict, frozen=True):
    """How far the attempt is, as its process says it."""

    done: Number | None = None
    total: Number | None = None
    unit: Annotated[str, about("byte, item, row, step, percent or another word")] = "item"
    total_is: TotalIs = "exact"


class GivenItems(Strict, frozen=True):
    """How many things were dealt with, and how."""

    ok: Number = 0
    failed: Number = 0
    skipped: Number = 0
    total: Number | None = None


class GivenPhase(Strict, frozen=True):
    """What the attempt does now."""

    name: Annotated[str, Meta(min_length=1)]
    n: Number | None = None
    of: Number | None = None


class GivenWaiting(Strict, frozen=True):
    """For what the attempt waits, and until when no report is expected."""

    for_: str = field(name="for")
    until: Moment


class ReportBody(Strict, frozen=True):
    """A report; an empty one is a heartbeat. What it does not say stays as it was."""

    attempt: Annotated[int, about("The newest, if it is not said", ge=1)] | None = None
    seq: Annotated[int, about("Orders the reports of an attempt", ge=0, le=MOST)] | None = None
    progress: GivenProgress | None = None
    items: GivenItems | None = None
    phase: GivenPhase | None = None
    message: str | None = None
    waiting: GivenWaiting | None = None
    cancel_seen: bool = False
    buffered: Annotated[bool, about("It was kept, and comes late: no sign of life.")] = False
    observed_at: Moment | None = None
    sent_at: Moment | None = None


class JobReportBody(ReportBody, frozen=True, kw_only=True):
    """A report in a batch."""

    job: str


class BatchBody(Strict, frozen=True):
    """Reports of many jobs; each may be anything, and has an answer of its own."""

    reports: tuple[Any, ...]


class LeaseTold(Representation, frozen=True):
    """Within which time the next report must come."""

    expires_in_s: float


class ReportAnswer(Representation, frozen=True):
    """What became of a report. `cancel`: the job is asked to stop."""

    accepted: bool
    recorded: Annotated[bool, about("Whether it became an event; if not, it is only shown.")]
    attempt: int
    lease: LeaseTold | None
    report_every_s: Annotated[int, about("More reports than this become no events.")]
    cancel: Cancel | None
    over: Annotated[str | UnsetType, about("How the job has ended; then nothing changes.")] = UNSET
    duplicate: Annotated[bool | UnsetType, about("The same came before, or a newer one.")] = UNSET
    clamped: Annotated[bool | UnsetType, about("Figures were brought inside bounds.")] = UNSET
    ignored: tuple[str, ...] | UnsetType = UNSET


class BatchAnswer(Representation, frozen=True):
    """The answers to the reports of a batch, in order: a `ReportAnswer` or a `Problem` each."""

    results: tuple[Any, ...]


class Reports:
    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._reporting = service.reporting
        self._now = service.now

    async def report(self, request: web.Request) -> web.Response:
        """Take one report."""
        uuid = uuid_in_url(request, JobNotFound)
        given = await read_strictly(request, ReportBody, most=REPORT_BYTES)
        return json_answer(await self._take(request, uuid, given.body, given.ignored))

    async def report_many(self, request: web.Request) -> web.Response:
        """Take each of many reports, and answer each."""
        value = await read_value(request, most=BATCH_BYTES)
        items = decode_strictly(value, BatchBody, lenient=is_lenient(request)).body.reports
        if len(items) > BATCH_MOST:
            told = f"a batch has at most {BATCH_MOST} reports"
            raise bad_value("reports", told, limit=BATCH_MOST)
        results: list[object] = []
        for start in range(0, len(items), AT_ONCE):
            some = items[start : start + AT_ONCE]
            results += await self._take_some(request, some)
        return json_answer(BatchAnswer(tuple(results)))

    async def _take_some(self, request: web.Request, items: Sequence[object]) -> list[object]:
        """Take reports beside each other, but those of one job in their order."""
        by_job: dict[object, list[int]] = {}
        for nth, item in enumerate(items):
            job = item.get("job") if isinstance(item, dict) else None
            by_job.setdefault(job if isinstance(job, str) else nth, []).append(nth)
        results: dict[int, object] = {}

        async def take(numbers: Sequence[int]) -> None:
            for nth in numbers:
                results[nth] = await self._take_one(request, items[nth])

        await asyncio.gather(*map(take, by_job.values()))
        return [results[nth] for nth in range(len(items))]

    async def _take_one(self, request: web.Request, item: object) -> object:
        try:
            given = _read(request, item)
            uuid = given.body.job.lower()
            if not UUID.fullmatch(uuid):
                raise JobNotFound(uuid)
            return await self._take(request, uuid, given.body, given.ignored)
        except Expected as error:
            body = problem_answer(error, "").body
            assert isinstance(body, bytes)
            return Raw(body)

    async def _take(
        self, request: web.Request, uuid: str, body: ReportBody, ignored: tuple[str, ...]
    ) -> ReportAnswer:
        figures, grant = _Figures(body, self._now()), request[GRANT]
        report = Report(
            uuid,
            owner_of(request),
            _holder(grant),
            lambda job: attempt_of(grant, job, body.attempt),
            figures.said,
            figures.message,
            figures.wording.words,
            body.seq,
            body.buffered,
            body.cancel_seen,
            _waiting(body, self._now()),
        )
        taken = await self._reporting.take(report, request[CALLER])
        return ReportAnswer(
            taken.accepted,
            taken.recorded,
            taken.attempt,
            None if taken.expires_in_s is None else LeaseTold(taken.expires_in_s),
            taken.report_every_s,
            await self._cancel(request, taken),
            taken.over or UNSET,
            taken.duplicate or UNSET,
            figures.are_clamped or UNSET,
            ignored or UNSET,
        )

    async def _cancel(self, request: web.Request, taken: Answer) -> Cancel | None:
        """Return what is told of a request to stop; most reports are told of none."""
        stop = taken.stop
        if stop is None:
            return None
        known, now, job = may_know(request), self._now(), taken.job
        return await asyncio.to_thread(
            self._ledger.read, lambda cursor: shown(cursor, {job: stop}, now, known)[job]
        )


def _read(request: web.Request, item: object) -> Given[JobReportBody]:
    if len(orjson.dumps(writable(item))) > REPORT_BYTES:
        raise bad_value("reports", "a report is too long", limit=REPORT_BYTES)
    return decode_strictly(item, JobReportBody, lenient=is_lenient(request))


def attempt_of(grant: Grant, job: Job, said: int | None) -> int | None:
    """Return which attempt a report is about; raise what the token may not do."""
    if grant.job is not None and grant.job.job != job.uuid:
        raise ScopeMissing(f"the token is for job {grant.job.job}", SCOPE)
    produced = job.produced
    if produced is None:
        return said
    if not grant.reaches(produced.registered, SCOPE):
        raise ScopeMissing("the token does not reach this job", SCOPE)
    return grant.attempt_of(job.uuid, produced, said)


def _holder(grant: Grant) -> Holder | None:
    """Return who makes an attempt, if the token proves that."""
    return None if grant.job is None else Holder(grant.job.instance, grant.token)


def _waiting(body: ReportBody, now: datetime) -> Waiting | None:
    if body.waiting is None:
        return None
    until = wanted_at(body.waiting.until, body.sent_at, now)
    return Waiting(storable(body.waiting.for_, NAME_BYTES), until, now)


class _Figures:
    """What a report says, within bounds."""

    def __init__(self, body: ReportBody, now: datetime) -> None:
        self.are_clamped = False
        self.wording = Wording()
        self.message = None if body.message is None else storable(body.message, MESSAGE_MOST)
        self.said = self._said(body, now)

    def _said(self, body: ReportBody, now: datetime) -> Said | None:
        fields: dict[str, object] = {}
        if body.progress is not None:
            fields |= self._progress(body.progress)
        if body.items is not None:
            each = body.items
            fields["items"] = Items(
                self._number(each.ok) or 0,
                self._number(each.failed) or 0,
                self._number(each.skipped) or 0,
                self._number(each.total),
            )
        if body.phase is not None:
            phase = body.phase
            name = storable(phase.name, NAME_BYTES)
            fields["phase"] = Phase(name, self._number(phase.n), self._number(phase.of))
        if self.message:
            fields["message"] = self.wording.text(self.message, MESSAGE_MOST)
        if not fields:
            return None
        at = happened_at(body.observed_at, body.sent_at, now)
        report = replace(ProgressReported(0, at), **fields)
        return Said(report, frozenset(fields))

    def _progress(self, said: GivenProgress) -> dict[str, object]:
        return {
            "done": self._number(said.done),
            "total": self._number(said.total),
            "unit": storable(said.unit[:UNIT_LENGTH], 4 * UNIT_LENGTH),
            "total_is": said.total_is,
        }

    def _number(self, said: float | None) -> int | None:
        if said is None:
            return None
        self.are_clamped |= not 0 <= said <= MOST
        return clamped(said)
