"""What drives, servers and tags have in common: lists, actions and availability groups."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from aiohttp import web
from msgspec import Struct

from api.http.errors import BadRequest
from api.http.outcome import show
from api.http.requests import conditions, order_by, owner_of, page, shown_fields
from api.http.responses import Shown, only, page_meta
from api.resources.lists import Found, Listing, list_answer
from api.resources.walks import walk_asked
from ledger.domain.errors import NotFound
from projections.views.filters import Conditions, Lookup
from projections.views.searches import is_search
from projections.views.snapshot import Snapshot
from projections.views.views import Views
from projections.views.walks import Walked

NAME_FILTERS: Mapping[str, Lookup] = {
    "uuid": "uuid",
    "name": "name",
    "name__contains": "name_contains",
    "name__icontains": "name_contains",
}
"""The filters of lists of what has a name."""
FILTERS: Mapping[str, Lookup] = {**NAME_FILTERS, "tag": "tag", "tag__name": "tag_name"}
"""The filters of lists of drives and of servers."""
ORDERS = ("uuid", "name")
"""What lists can be ordered by, as far as they can be filtered by it."""


def ordering(filters: Container[str]) -> list[str]:
    """Return what a list with these filters can be ordered by."""
    return [field for field in ORDERS if field in filters]


class Named(Protocol):
    """Anything with a uuid."""

    @property
    def uuid(self) -> str: ...


R_co = TypeVar("R_co", bound=Named, covariant=True)
S_co = TypeVar("S_co", bound=Struct, covariant=True)
Action = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Collection(Generic[R_co, S_co]):
    """An account's drives, servers or tags: how they are counted, read and shown."""

    kind: Walked
    views: Views
    filters: Mapping[str, Lookup]
    count: Callable[[Snapshot, str, Conditions], int]
    read_among: Callable[[Snapshot, Sequence[str], str], Sequence[R_co]]
    show: Callable[[R_co], S_co]
    missing: Callable[[str], NotFound]

    def shown(self, owner: str, uuids: Sequence[str]) -> Sequence[S_co]:
        """Return all of these, in this order; raise `missing` if the account may not see one."""
        with self.views.snapshot() as snapshot:
            found = self.read_among(snapshot, uuids, owner)
        absent = set(uuids).difference(each.uuid for each in found)
        if absent:
            raise self.missing(min(absent))
        return list(map(self.show, found))

    async def recorded(self, owner: str, uuids: Sequence[str]) -> Sequence[S_co]:
        """Return the same after a command that was recorded, even if the store is away just now."""
        return await show(lambda: self.shown(owner, uuids))

    async def answer(
        self,
        request: web.Request,
        fields: frozenset[str] | None = None,
        always: Conditions = (),
    ) -> web.StreamResponse:
        """Answer with a list.

        `fields` are shown if the request names none. The listed resources meet the conditions
        `always` as well as those of the request.
        """
        owner = owner_of(request)
        asked, fields = page(request), shown_fields(request) or fields
        wanted = [*always, *conditions(request, self.filters)]
        order = order_by(request, ordering(self.filters))
        is_searched = bool(order) or is_search(wanted)

        def read(snapshot: Snapshot, uuids: Sequence[str]) -> Sequence[Shown]:
            among = self.read_among(snapshot, uuids, owner)
            return [only(self.show(each), fields) for each in among]

        def find(snapshot: Snapshot) -> Found:
            limit, offset = asked.sql_limit, asked.offset
            if is_searched:
                found = snapshot.search(
                    self.kind, owner, wanted, order=order, limit=limit, offset=offset
                )
                return Found(page_meta(asked, found.total), found.uuids)
            total = self.count(snapshot, owner, wanted)
            uuids = snapshot.listed(self.kind, owner, wanted, limit=limit, offset=offset)
            return Found(page_meta(asked, total), uuids, is_short=asked.is_short(total))

        walk = walk_asked(request, self.kind, wanted)
        if walk is not None:
            listing = Listing(self.kind, walk.find, read, is_quick=walk.is_short)
        else:
            listing = Listing(self.kind, find, read, is_quick=not is_searched)
        return await list_answer(request, self.views, listing)


async def do_action(
    request: web.Request,
    actions: Mapping[str, Action],
) -> web.StreamResponse:
    """Do the action that `?do=` names."""
    name = request.query.get("do")
    if name is None:
        raise BadRequest("do is required: the action's name", point="do")
    if name not in actions:
        raise BadRequest(f"do must be one of {', '.join(actions)}", point="do")
    return await actions[name](request)


Placed = Sequence[tuple[str, str]]
"""Uuids, each with the pool or host that it is on."""


def groups(placed: Placed) -> list[list[str]]:
    """Return the availability groups: the uuids that share a place."""
    found: dict[str, list[str]] = {}
    for uuid, place in placed:
        found.setdefault(place, []).append(uuid)
    return list(found.values())


def group_of(uuid: str, placed: Placed) -> list[str]:
    """Return the group that the uuid is in; it is empty if the uuid has no place."""
    place = dict(placed).get(uuid)
    return [] if place is None else [other for other, where in placed if where == place]
