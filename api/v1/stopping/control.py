"""`/jobs/{uuid}/control` and `/control`: long polls that tell a process when to stop.

They are answered as soon as there is anything to tell: the job is asked to stop, is over, or
another process has taken it up. The entity tag of an answer says what was told; a client that sends
it in `If-None-Match` waits for something else, and so does one that has said that it knows of the
request (`cancel_seen`).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Annotated, NamedTuple

from aiohttp import web

from api.accounts.grants import Grant
from api.http.errors import BadRequest
from api.http.etags import digest
from api.http.fields import Representation, Uuid, about
from api.http.long_poll import job_tag, known_to, wait_of
from api.http.permissions.call_rates import polling
from api.http.requests import GRANT, POSITION, number, owner_of, uuid_in_url
from api.http.responses import answer_of, encode
from api.service.service import Service
from api.v1.missing import missing_job
from api.v1.problems import bad_value
from api.v1.stopping.stops import Cancel, cancels_of, may_know
from ledger.domain.aggregates.produced import Produced
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.events.producers import Outcome
from ledger.store.tables import leases

OF_JOB = ("wait", "attempt", "instance")
OF_INSTANCE = ("wait", "instance")
INSTANCE_MOST = 200
JOBS_MOST = 1_000
"""Jobs of one process of which it is told; of others it hears when it reports."""
_BY_OTHERS = ("forced", "lost")
"""Reasons of ends that a process does not know of."""


class Control(Representation, frozen=True):
    """What a process is told of its job."""

    uuid: Uuid
    attempt: Annotated[int, about("The newest attempt.")]
    cancel: Annotated[Cancel | None, about("Why it is asked to stop, if it is.")]
    over: Annotated[Outcome | None, about("How the job has ended, if it has.")]
    replaced: Annotated[bool, about("Another process has taken the job up.")]
    must_stop: Annotated[bool, about("The job is replaced, or an operator has ended it.")]


class ControlOfInstance(Representation, frozen=True):
    """The jobs of a process of which there is anything to tell."""

    jobs: tuple[Control, ...]


class _Asker(NamedTuple):
    """Who asks: which attempt and process it is, as far as that was said."""

    attempt: int | None
    instance: str | None


class _Told(NamedTuple):
    """What is to be told, and what that depends on: the jobs, and all above them."""

    answer: Control | ControlOfInstance
    has_news: bool
    watched: frozenset[str]

    @property
    def tag(self) -> str:
        """Return a digest of what is told, which the passing of time does not change."""
        lasting = encode(self.answer).split(b'"stop_within_s":')
        return digest(b"".join([lasting[0], *(part.lstrip(b"0123456789") for part in lasting[1:])]))


class Controls:
    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._feed = service.feed
        self._now = service.now

    async def of_job(self, request: web.Request) -> web.Response:
        """Tell the process that makes an attempt at a job."""
        uuid, owner = uuid_in_url(request, JobNotFound), owner_of(request)
        asker, known = _asker(request), may_know(request)

        async def look() -> _Told:
            with self._views.snapshot() as snapshot:
                found = snapshot.produced_jobs([uuid], owner)
                cancels = cancels_of(snapshot.cursor, [*found], self._now(), known)
                above = snapshot.parents([*found])
            if uuid not in found:
                raise missing_job(self._ledger, uuid, owner)
            control = _control(uuid, found[uuid], cancels.get(uuid), asker)
            has_news = _is_news(control, found[uuid])
            return _Told(control, has_news, frozenset({uuid, *above}))

        return await self._answer(request, look)

    async def of_instance(self, request: web.Request) -> web.Response:
        """Tell a process of all jobs that it works on, and of those that it had until just now."""
        owner, known = owner_of(request), may_know(request)
        grant, instance = request[GRANT], _instance(request)
        if instance is None:
            raise BadRequest("instance is missing", point="instance")
        asker = _Asker(None, instance)
        seen: set[str] = set()

        def read() -> _Told:
            with self._views.long_snapshot() as snapshot:
                cursor = snapshot.cursor
                held = leases.of_instance(cursor, instance, JOBS_MOST)
                found = snapshot.produced_jobs(sorted({*held} | seen), owner)
                mine = sorted(found.keys() & held)
                cancels = cancels_of(cursor, mine, self._now(), known)
                above = snapshot.parents(mine)
            seen.update(mine)
            heard = [
                (_control(uuid, produced, cancels.get(uuid), asker), produced)
                for uuid, produced in found.items()
                if _may_hear(grant, uuid, produced)
            ]
            told = [each for each in heard if _is_told(*each)]
            answer = ControlOfInstance(tuple(control for control, _ in told))
            has_news = any(_is_news(*each) for each in told)
            return _Told(answer, has_news, frozenset({instance, *mine, *above}))

        return await self._answer(request, lambda: asyncio.to_thread(read))

    async def _answer(
        self, request: web.Request, look: Callable[[], Awaitable[_Told]]
    ) -> web.Response:
        """Answer at once, or once there is something to tell that the client does not know."""
        wait_s = wait_of(request)
        if not wait_s:
            return _answer(await look())
        known = known_to(request)

        async def look_now() -> _Told:
            request[POSITION] = self._ledger.position
            return await look()

        with polling(request):
            told = await look_now()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not (self._feed.closed or (told.has_news and told.tag not in known)):
                        told = await self._next(told, look_now, owner_of(request), known)
        return _answer(told)

    async def _next(
        self,
        told: _Told,
        look: Callable[[], Awaitable[_Told]],
        owner: str,
        known: Collection[str],
    ) -> _Told:
        """Return what is to be told next. Who looked before watching might have missed it."""
        with self._feed.watch_stops(told.watched, owner) as news:
            now = await look()
            is_told = not now.has_news or now.tag in known
            if is_told and now.watched == told.watched:
                await news.wait()
                return await look()
        return now


def _control(uuid: str, produced: Produced, cancel: Cancel | None, asker: _Asker) -> Control:
    replaced = _is_replaced(produced, asker)
    return Control(
        uuid=uuid,
        attempt=produced.attempt,
        cancel=cancel,
        over=produced.outcome,
        replaced=replaced,
        must_stop=replaced or produced.reason == "forced",
    )


def _is_replaced(produced: Produced, asker: _Asker) -> bool:
    holder = produced.holder
    if asker.attempt is not None and asker.attempt < produced.attempt:
        return True
    return asker.instance is not None and holder is not None and holder.instance != asker.instance


def _is_news(control: Control, produced: Produced) -> bool:
    """Return whether a process waits for this; of a request that it has seen it knows."""
    is_asked = control.cancel is not None and produced.cancel_seen is None
    return is_asked or control.over is not None or control.replaced


def _is_told(control: Control, produced: Produced) -> bool:
    """Return whether a process is to hear of its job; it knows of what it has ended itself."""
    return control.cancel is not None or control.replaced or produced.reason in _BY_OTHERS


def _may_hear(grant: Grant, uuid: str, produced: Produced) -> bool:
    own = grant.job is None or grant.job.job == uuid
    return own and grant.reaches(produced.registered, "jobs:report")


def _asker(request: web.Request) -> _Asker:
    """Return who asks: by the job's own token, or as it says."""
    claim = request[GRANT].job
    said = number(request, "attempt") if "attempt" in request.query else None
    instance = _instance(request)
    if claim is None:
        return _Asker(said, instance)
    return _Asker(claim.attempt if said is None else said, instance or claim.instance)


def _instance(request: web.Request) -> str | None:
    """Return the digest by which the ledger knows the process."""
    text = request.query.get("instance")
    if text is None:
        return None
    if not 0 < len(text) <= INSTANCE_MOST:
        told = f"instance has up to {INSTANCE_MOST} characters"
        raise bad_value("instance", told, limit=INSTANCE_MOST)
    return hashlib.sha256(text.encode()).hexdigest()


def _answer(told: _Told) -> web.Response:
    return answer_of(encode(told.answer), tag=job_tag(told.tag, told.tag))
