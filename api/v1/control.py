"""`/jobs/{uuid}/control` and `/control`: long polls that tell a process when to stop.

They are answered as soon as there is anything to tell: the job is asked to stop, is over, or
another process has taken it up. The entity tag of an answer says what was told; a client that sends
it in `If-None-Match` waits for something else.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, NamedTuple

from aiohttp import web

from api.accounts.grants import Grant
from api.http.errors import BadRequest
from api.http.etags import digest
from api.http.fields import Representation, Uuid, about
from api.http.long_poll import job_tag, known_to, wait_of
from api.http.requests import ASKING, GRANT, POSITION, number, owner_of, uuid_in_url
from api.http.responses import answer_of, encode
from api.service.service import Service
from api.v1.problems import bad_value
from api.v1.stops import Cancel, cancels_of, may_know
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound
from ledger.domain.events.producers import Outcome
from ledger.store.seam import Cursor
from ledger.store.tables import leases, spent_ids

OF_JOB = ("wait", "attempt", "instance")
OF_INSTANCE = ("wait", "instance")
INSTANCE_MOST = 200
JOBS_MOST = 1_000
"""Jobs of one process of which it is told; of others it hears when it reports."""
RETRY_S = 10
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
        self._admission = service.admission
        self._now = service.now
        self._limit = service.limits.long_polls_per_token
        self._open: Counter[str] = Counter()

    async def of_job(self, request: web.Request) -> web.Response:
        """Tell the process that makes an attempt at a job."""
        uuid, owner = uuid_in_url(request, JobNotFound), owner_of(request)
        asker, known = _asker(request), may_know(request)

        def read() -> _Told:
            job, produced = self._job(uuid, owner)
            with self._views.long_snapshot() as snapshot:
                cancels = self._cancels(snapshot.cursor, [uuid], known)
                above = snapshot.parents([uuid])
            control = _control(job, produced, cancels.get(uuid), asker)
            return _Told(control, _is_news(control), frozenset({uuid, *above}))

        return await self._answer(request, read)

    async def of_instance(self, request: web.Request) -> web.Response:
        """Tell a process of all jobs that it works on."""
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
                owned = snapshot.owned_jobs(held, owner)
                cancels = self._cancels(cursor, sorted(owned), known)
                above = snapshot.parents(sorted(owned))
            gone = seen - owned
            seen.update(owned)
            about = [
                self._told(uuid, cancels.get(uuid), asker, grant)
                for uuid in (*cancels, *sorted(gone))
            ]
            told = tuple(control for control in about if control is not None)
            watched = frozenset({instance, *owned, *above})
            return _Told(ControlOfInstance(told), bool(told), watched)

        return await self._answer(request, read)

    async def _answer(self, request: web.Request, read: Callable[[], _Told]) -> web.Response:
        wait_s = wait_of(request)
        if not wait_s:
            return _answer(await asyncio.to_thread(read))
        known = known_to(request)

        async def look() -> _Told:
            request[POSITION] = self._ledger.position
            return await asyncio.to_thread(read)

        with self._one_more(request), self._admission.take(request[ASKING], "long-polls"):
            told = await look()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not (self._feed.closed or (told.has_news and told.tag not in known)):
                        told = await self._next(told, look, owner_of(request), known)
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

    @contextmanager
    def _one_more(self, request: web.Request) -> Iterator[None]:
        """Count a long poll of a token, or of an account without one. Raise `TooMuch`."""
        grant = request[GRANT]
        key = grant.token or grant.account.uuid if grant.job is None else grant.job.job
        if self._limit and self._open[key] >= self._limit:
            message = f"the token has {self._limit} requests that wait"
            raise self._admission.refuse("long-polls", self._limit, RETRY_S, message)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def _job(self, uuid: str, owner: str) -> tuple[Job, Produced]:
        """Raise `JobNotFound` or `JobDiscarded`."""
        job = self._ledger.job(uuid)
        if job is None and self._ledger.read(lambda cursor: spent_ids.is_spent(cursor, uuid)):
            raise JobDiscarded(uuid)
        if job is None or job.owner != owner or job.produced is None:
            raise JobNotFound(uuid)
        return job, job.produced

    def _told(
        self, uuid: str, cancel: Cancel | None, asker: _Asker, grant: Grant
    ) -> Control | None:
        """Return what a process is to hear of a job that it has, or has had until just now.

        It knows of what it has ended itself.
        """
        job = self._ledger.job(uuid)
        if job is None or job.produced is None or not _may_hear(grant, job, job.produced):
            return None
        control = _control(job, job.produced, cancel, asker)
        is_news = cancel is not None or control.replaced or job.produced.reason in _BY_OTHERS
        return control if is_news else None

    def _cancels(
        self, cursor: Cursor, jobs: Sequence[str], known: Callable[[str], bool]
    ) -> Mapping[str, Cancel]:
        return cancels_of(cursor, jobs, self._now(), known)


def _control(job: Job, produced: Produced, cancel: Cancel | None, asker: _Asker) -> Control:
    replaced = _is_replaced(job, produced, asker)
    return Control(
        uuid=job.uuid,
        attempt=job.attempt,
        cancel=cancel,
        over=produced.outcome,
        replaced=replaced,
        must_stop=replaced or produced.reason == "forced",
    )


def _is_replaced(job: Job, produced: Produced, asker: _Asker) -> bool:
    holder = produced.holder
    if asker.attempt is not None and asker.attempt < job.attempt:
        return True
    return asker.instance is not None and holder is not None and holder.instance != asker.instance


def _is_news(control: Control) -> bool:
    return control.cancel is not None or control.over is not None or control.replaced


def _may_hear(grant: Grant, job: Job, produced: Produced) -> bool:
    own = grant.job is None or grant.job.job == job.uuid
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
