"""What drives and servers have in common: lists of either, and actions."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from aiohttp import web

from api.answers import batches, list_parts, page_answer, stream
from api.errors import BadRequest
from api.requests import CALLER, Page, conditions, page, shown_fields
from api.shapes import JsonObject, only
from ledger.errors import NotFound
from projections.views.filtering import Conditions, Lookup
from projections.views.reading import Views
from projections.views.snapshot import Snapshot

FILTERS: Mapping[str, Lookup] = {
    "uuid": "uuid",
    "name": "name",
    "name__contains": "name_contains",
    "tag": "tag",
    "tag__name": "tag_name",
}
"""The filters of lists of drives and of servers."""


class Named(Protocol):
    """What has a uuid."""

    @property
    def uuid(self) -> str: ...


N = TypeVar("N", bound=Named)
Action = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Collection:
    """An account's drives or servers: how many there are, and some of them by limit and offset."""

    views: Views
    filters: Mapping[str, Lookup]
    count: Callable[[Snapshot, str, Conditions], int]
    read: Callable[[Snapshot, str, Conditions, int, int], list[JsonObject]]

    async def answer(
        self,
        request: web.Request,
        fields: frozenset[str] | None = None,
        always: Conditions = (),
    ) -> web.StreamResponse:
        """A short list at once, a longer one as a stream.

        `fields` are what is shown if none are asked for.

        What is listed fulfils `always` besides what the request asks for.
        """
        owner = request[CALLER].actor
        asked, fields = page(request), shown_fields(request) or fields
        wanted = [*always, *conditions(request, self.filters)]
        with self.views.snapshot() as snapshot:
            total = self.count(snapshot, owner, wanted)
            if asked.is_short(total):
                found = self.read(snapshot, owner, wanted, asked.sql_limit, asked.offset)
                return page_answer(asked, total, [only(each, fields) for each in found])
        return await stream(request, self._parts(owner, wanted, asked, fields))

    def _parts(
        self, owner: str, wanted: Conditions, asked: Page, fields: frozenset[str] | None
    ) -> Iterator[bytes]:
        with self.views.long_snapshot() as snapshot:
            read = partial(self.read, snapshot, owner, wanted)
            shown = ([only(each, fields) for each in batch] for batch in batches(read, asked))
            yield from list_parts(asked, self.count(snapshot, owner, wanted), shown)


async def do_action(
    request: web.Request,
    actions: Mapping[str, Action],
) -> web.StreamResponse:
    """What `?do=` names."""
    name = request.query.get("do")
    if name is None:
        raise BadRequest("do is required: the action's name", point="do")
    if name not in actions:
        raise BadRequest(f"do must be one of {', '.join(actions)}", point="do")
    return await actions[name](request)


Placed = Sequence[tuple[str, str]]
"""Uuids, each with the pool or host where it is."""


def groups(placed: Placed) -> list[list[str]]:
    """Availability groups: the uuids that share a place."""
    found: dict[str, list[str]] = {}
    for uuid, place in placed:
        found.setdefault(place, []).append(uuid)
    return list(found.values())


def group_of(uuid: str, placed: Placed) -> list[str]:
    """The group that the uuid is in; none if it is in no place."""
    place = dict(placed).get(uuid)
    return [] if place is None else [other for other, where in placed if where == place]


def complete(
    found: Sequence[N], uuids: Sequence[str], missing: Callable[[str], NotFound]
) -> Sequence[N]:
    """What was found, if it is all that was asked for; else the refusal for what is missing."""
    absent = set(uuids).difference(thing.uuid for thing in found)
    if absent:
        raise missing(min(absent))
    return found
