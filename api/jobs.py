"""`/jobs/`: what runs and what has run. A running job can be cancelled, and that is all."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson
from aiohttp import web
from msgspec.structs import asdict, replace

from api.answers import answer_of, json_answer, list_parts, page_answer, stream, within
from api.commanding import execute
from api.entity_tags import digest
from api.long_poll import changed, job_tag, known_to, wait_of
from api.requests import (
    CALLER,
    POSITION,
    Page,
    filter_values,
    page,
    read_object,
    shown_fields,
    uuid_in_url,
)
from api.resources import do_action
from api.schema import load_schema
from api.service import Service
from api.shapes import JsonObject, is_moving, job_json, no_figures, only
from api.time_travel import TimeTravel
from ledger.commands import CancelJob
from ledger.errors import JobNotFound
from projections.rows import timestamp
from projections.views.reading import REMEMBERED
from projections.views.records import JobTree


class _Recorded(NamedTuple):
    """What is recorded of a job, as JSON: without live figures."""

    tree: JobTree
    body: bytes
    digest: str


class Jobs:
    """Handlers of the URLs below `/jobs/`."""

    def __init__(self, service: Service, travel: TimeTravel) -> None:
        self._travel = travel
        self._ledger = service.ledger
        self._views = service.views
        self._feed = service.feed
        self._figures = service.figures
        self._now = service.now
        self._schema = load_schema("jobs")
        self._kept: dict[str, _Recorded] = {}

    async def one(self, request: web.Request) -> web.Response:
        """At once, or when the job has changed (`api.long_poll`), or as it was earlier."""
        uuid, owner = uuid_in_url(request, JobNotFound), request[CALLER].actor
        as_of = self._travel.as_of(request)
        if as_of is not None:
            return await self._travel.job(request, uuid, as_of)
        wait_s = wait_of(request)
        if not wait_s:
            return self._answer(self._tree(uuid, owner))

        def read() -> JobTree:
            request[POSITION] = self._ledger.position
            return self._tree(uuid, owner)

        known = known_to(request)
        return self._answer(
            await changed(self._feed, read, self._digest, known=known, wait_s=wait_s)
        )

    async def list(self, request: web.Request) -> web.StreamResponse:
        """The newest change first. A short list is read at once, a longer one is streamed.

        What was earlier is told by the page.
        """
        as_of = self._travel.as_of(request)
        if as_of is not None:
            return await self._travel.list(request, as_of)
        owner = request[CALLER].actor
        asked, states, fields = (
            page(request),
            filter_values(request, "state"),
            shown_fields(request),
        )
        with self._views.snapshot() as snapshot:
            total = self._views.count_jobs(snapshot, owner, states)
            if asked.is_short(total):
                trees = snapshot.jobs(owner, states, limit=asked.sql_limit, offset=asked.offset)
                return page_answer(asked, total, self._shown(trees, fields))
        return await stream(request, self._parts(owner, states, asked, fields))

    async def act(self, request: web.Request) -> web.StreamResponse:
        return await do_action(request, {"cancel": self._cancel})

    async def _cancel(self, request: web.Request) -> web.Response:
        """The job has ended on return, and what it made is gone; its thread stops soon."""
        uuid = uuid_in_url(request, JobNotFound)
        await read_object(request)
        owner = request[CALLER].actor
        await execute(request, self._ledger, CancelJob(owner, uuid))
        return json_answer({"action": "cancel", "result": "success", "uuid": uuid}, status=202)

    async def schema(self, request: web.Request) -> web.Response:
        now = timestamp(self._now())
        fields = dict(self._schema.fields)
        for name in ("created", "last_modified"):
            fields[name] = {**fields[name], "default": now}
        return json_answer(asdict(replace(self._schema, fields=fields)))

    def _tree(self, uuid: str, owner: str) -> JobTree:
        tree = self._views.job(uuid, owner)
        if tree is None:
            raise JobNotFound(uuid)
        return tree

    def _answer(self, tree: JobTree) -> web.Response:
        """With live figures, if there are any, and an entity tag."""
        _, body, recorded = self._recorded(tree)
        shown = recorded
        if is_moving(tree, self._figures):
            body = orjson.dumps(job_json(tree, self._figures))
            shown = digest(body)
        return answer_of(body, tag=job_tag(recorded, shown))

    def _digest(self, tree: JobTree) -> str:
        return self._recorded(tree).digest

    def _recorded(self, tree: JobTree) -> _Recorded:
        """Kept for as long as the job's tree is remembered."""
        kept = self._kept.get(tree.job.uuid)
        if kept is None or kept.tree is not tree:
            if len(self._kept) >= REMEMBERED:
                self._kept.clear()
            body = orjson.dumps(job_json(tree, no_figures))
            kept = self._kept[tree.job.uuid] = _Recorded(tree, body, digest(body))
        return kept

    def _parts(
        self,
        owner: str,
        states: Sequence[str] | None,
        asked: Page,
        fields: frozenset[str] | None,
    ) -> Iterator[bytes]:
        with self._views.long_snapshot() as snapshot:
            total = snapshot.count_jobs(owner, states)
            batches = within(snapshot.all_jobs(owner, states), asked)
            yield from list_parts(asked, total, (self._shown(batch, fields) for batch in batches))

    def _shown(
        self, trees: Sequence[JobTree], fields: frozenset[str] | None
    ) -> Sequence[JsonObject]:
        return [only(job_json(tree, self._figures), fields) for tree in trees]
