"""`/jobs/{uuid}/cancel`: asking a job to stop, and ending the record of one that does not."""

import asyncio
from collections.abc import Callable
from secrets import token_bytes
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from api.accounts.grants import Grant
from api.http.fields import Count, Representation, Uuid, about
from api.http.outcome import Changed
from api.http.record import record_command
from api.http.requests import GRANT, owner_of, uuid_in_url
from api.http.responses import json_answer
from api.http.streams import read_in_lane
from api.service.service import Service
from api.v1.bodies import SMALL_BYTES, Strict, read_strictly
from api.v1.missing import missing_job
from api.v1.stopping.stops import Cancel, may_know, shown
from ledger.domain.commands import Command
from ledger.domain.commands.jobs import CancelJob
from ledger.domain.errors.jobs import JobNotFound, JobOver
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import ForceEnd, RequestCancel
from ledger.domain.producers.stops import GRACE_S, asked_to_stop
from ledger.domain.producers.texts import NOTE_MOST, SALT_BYTES, storable, text_of
from projections.views.stops import running_below, stops_of

GRACE_MOST_S = 30 * 24 * 3600
ENDED_FOR_GOOD = ("forced", "lost")
"""Reasons of ends that whoever forces an end may have brought about."""
OVER = {"success": "succeeded", "failed": "failed", "cancelled": "cancelled"}


class Asking(Strict, frozen=True):
    """What may be said of a request."""

    note: str | None = None
    grace_s: Annotated[int, Meta(ge=0, le=GRACE_MOST_S)] = GRACE_S
    cascade: Annotated[bool, about("Ask all jobs below it, too.")] = True


class CancelBody(Asking, frozen=True):
    """A request, or the end of a job by force."""

    force: Annotated[
        bool,
        about("End the record of a job whose time to stop is over, or whose producer is lost."),
    ] = False


class Below(Representation, frozen=True):
    """How many jobs run below it."""

    asked: Count
    not_cancellable: Annotated[Count, about("They are not asked; their producers said so.")]


class CancelAnswer(Representation, frozen=True):
    """What a request has brought about so far."""

    uuid: Uuid
    done: bool
    over: Annotated[str | None, about("How it ended, if it has.")]
    cancel: Cancel | None
    below: Below


class Cancels:
    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._settling = service.settling
        self._now = service.now

    async def cancel(self, request: web.Request) -> web.Response:
        """Ask a job to stop: 202; or 200 if it has ended since it was asked."""
        uuid, owner = uuid_in_url(request, JobNotFound), owner_of(request)
        body = (await read_strictly(request, CancelBody, most=SMALL_BYTES)).body
        status = 202
        try:
            command = self._command(uuid, owner, body, request[GRANT])
            await record_command(request, self._ledger, command, Changed(status))
        except JobOver:
            if not await asyncio.to_thread(self._has_obeyed, uuid, forced=body.force):
                raise
            status = 200
        self._settling.set()
        known = may_know(request)
        answer = await read_in_lane(request, lambda: self._answer(uuid, known))
        return json_answer(answer, status)

    def _command(self, uuid: str, owner: str, body: CancelBody, grant: Grant) -> Command:
        """Return the command for a job of ours, which ends at once, or of a producer.

        An operator may stop jobs of any account.
        """
        with self._views.snapshot() as snapshot:
            row = snapshot.job_row(uuid)
        operates = grant.account.role == "operator" and "ledger:operate" in grant.scopes
        if row is None or (row.owner != owner and not operates):
            raise missing_job(self._ledger, uuid, owner)
        owner = row.owner
        if body.force and row.source is not None:
            return ForceEnd(owner, uuid)
        return to_cancel(owner, uuid, body, is_produced=row.source is not None)

    def _has_obeyed(self, uuid: str, *, forced: bool) -> bool:
        """Return whether the job that has ended was asked to stop before."""
        job = self._ledger.job(uuid)
        if job is None or job.produced is None:
            return False
        is_forced = forced and job.produced.reason in ENDED_FOR_GOOD
        is_asked = job.produced.cancel is not None  # as it may be in the queue, whatever it said
        return is_forced or is_asked or asked_to_stop(job, self._ledger.job) is not None

    def _answer(self, uuid: str, known: Callable[[str], bool]) -> CancelAnswer:
        with self._views.long_snapshot() as snapshot:
            row = snapshot.job_row(uuid)
            if row is None:
                raise JobNotFound(uuid)
            stops = stops_of(snapshot.cursor, [uuid])
            cancel = shown(snapshot.cursor, stops, self._now(), known).get(uuid)
            askable, not_cancellable = running_below(snapshot.cursor, uuid)
        reaches = uuid in stops and stops[uuid].below
        return CancelAnswer(
            uuid=uuid,
            done=row.ended is not None,
            over=OVER.get(row.state),
            cancel=cancel,
            below=Below(askable if reaches else 0, not_cancellable),
        )


def to_cancel(owner: str, uuid: str, body: Asking, *, is_produced: bool) -> Command:
    """Return the command that asks a producer's job, or ends one of ours."""
    if not is_produced:
        return CancelJob(owner, uuid)
    if body.note is None:
        return RequestCancel(owner, uuid, JobCancelRequested(body.grace_s, body.cascade))
    note, words = text_of(storable(body.note, NOTE_MOST), token_bytes(SALT_BYTES))
    asked = JobCancelRequested(body.grace_s, body.cascade, note)
    return RequestCancel(owner, uuid, asked, (words,))
