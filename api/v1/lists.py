"""`GET /api/v1/jobs`: pages of jobs, in an order that never changes."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Annotated, NamedTuple, get_args

import orjson
from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace
from multidict import MultiMapping

from api.accounts.grants import Grant
from api.http.errors import BadRequest
from api.http.fields import Representation, about
from api.http.requests import GRANT, number, owner_of, read_time
from api.http.responses import json_answer
from api.http.streams import read_in_lane
from api.resources.walks import cursor_of, key_of
from api.service.service import Service
from api.v1.jobs import Viewer, represent_all
from api.v1.representation import Job
from api.v1.selectors import VALUES_MOST, read_selector
from api.v1.stopping.stops import may_know
from ledger.domain.events.producers import Outcome
from ledger.domain.producers.conditions import ConditionType
from ledger.store.parameters import timestamp_or_none
from projections.facets import KEYS
from projections.views.producers.jobs import ShownJob
from projections.views.producers.pages import PARENT, ROOT, Order, Requirement, Wanted, is_short
from projections.views.snapshot import Snapshot

LIMIT_DEFAULT, LIMIT_MOST = 50, 200
_FACETS = {**dict[str, str](KEYS.items()), "parent": PARENT, "root": ROOT}
_BOUNDS = ("created_gte", "created_lt", "ended_gte", "ended_lt")
PARAMETERS = ("select", *_FACETS, *_BOUNDS, "order", "limit", "after", "owner")
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "state": ("queued", "running", *get_args(Outcome)),
    "condition": get_args(ConditionType),
}
"""The values of filters that have no others: a misspelt one would find nothing."""


class JobList(Representation, frozen=True):
    """A page of jobs."""

    jobs: tuple[Job, ...]
    next: Annotated[
        str | None,
        about("`after` of the next page. Only null is the end: a page may be short, even empty."),
    ]


class Page(NamedTuple):
    """What a request asks for: a list of the account's, and a page of it."""

    owner: str
    wanted: Wanted
    limit: int

    @property
    def filters(self) -> str:
        """Return a hash of all that decides what is in the list, to which its cursors are bound."""
        requirements, order, since, before = self.wanted
        said = [
            sorted([key, operator, *sorted(set(values))] for key, operator, values in requirements),
            [order, timestamp_or_none(since), timestamp_or_none(before)],
        ]
        return sha256(orjson.dumps(["v1", self.owner, *said])).hexdigest()[:16]

    @property
    def is_short(self) -> bool:
        """Whether it is read in the event loop: an index leads to a few jobs, and no further."""
        return self.limit <= LIMIT_DEFAULT and is_short(self.wanted)


class Lists:
    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._reporting = service.reporting
        self._now = service.now

    async def list(self, request: web.Request) -> web.Response:
        """List jobs, the newest first, or those that have ended, the last to end first."""
        page = asked_page(request)
        after = request.query.get("after", "")
        key = key_of(after, page.filters) if after else None
        now, grant = self._now(), request[GRANT]
        viewer = Viewer(page.owner, now, may_know(request))

        def show(snapshot: Snapshot) -> JobList:
            step = snapshot.job_page(page.owner, page.wanted, now, key=key, limit=page.limit)
            found = snapshot.shown_jobs(step.uuids, page.owner, now)
            shown = [job for job in found if _sees(grant, job)]
            jobs = represent_all(snapshot, shown, viewer, self._reporting)
            following = None if step.next is None else cursor_of(step.next, page.filters)
            return JobList(tuple(replace(job, result=UNSET) for job in jobs), following)

        if page.is_short:
            with self._views.snapshot() as snapshot:
                return json_answer(show(snapshot))

        def read() -> JobList:
            with self._views.long_snapshot() as snapshot:
                return show(snapshot)

        return json_answer(await read_in_lane(request, read))


def _sees(grant: Grant, job: ShownJob) -> bool:
    """Return whether the caller is shown the job; others are left out, so a page may be short."""
    return grant.sees(job.uuid, None if job.produced is None else job.produced.registered)


def asked_page(request: web.Request) -> Page:
    """Return what the query asks for. Raise `BadRequest`."""
    limit = number(request, "limit", LIMIT_DEFAULT)
    if not 1 <= limit <= LIMIT_MOST:
        raise BadRequest(f"limit goes from 1 to {LIMIT_MOST}", point="limit")
    return Page(owner_of(request), wanted_of(request.query), limit)


def wanted_of(query: MultiMapping[str]) -> Wanted:
    """Return the jobs that filters ask for. Raise `BadRequest`."""
    requirements = [each for text in query.getall("select", ()) for each in read_selector(text)]
    for facet, key in _FACETS.items():
        values = tuple(query.getall(facet, ()))
        if values:
            _check_values(facet, values)
            requirements.append(Requirement(key, "in", values))
    order = _order(query)
    since, before = _bound(query, f"{order}_gte"), _bound(query, f"{order}_lt")
    return Wanted(tuple(requirements), order, since, before)


def _order(query: MultiMapping[str]) -> Order:
    """Return the order of the list. Bounds on times are only for the order by these times."""
    said = query.get("order", "created")
    order: Order
    match said:
        case "created" | "ended":
            order = said
        case _:
            raise BadRequest("order is created or ended", point="order")
    for name in _BOUNDS:
        if name in query and not name.startswith(order):
            by = name.partition("_")[0]
            raise BadRequest(f"{name} goes with order={by}", point=name)
    return order


def _check_values(name: str, values: tuple[str, ...]) -> None:
    if len(values) > VALUES_MOST:
        raise BadRequest(f"{name} can be given {VALUES_MOST} times", point=name)
    known = _KNOWN.get(name, values)
    if not {*values} <= {*known}:
        raise BadRequest(f"{name} is one of {', '.join(known)}", point=name)


def _bound(query: MultiMapping[str], name: str) -> datetime | None:
    text = query.get(name)
    return None if text is None else read_time(text, name)
