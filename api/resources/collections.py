"""What drives, servers and tags have in common: lists, actions and availability groups."""

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from aiohttp import web
from msgspec import Struct

from api.http.errors import BadRequest
from api.http.outcome import show
from api.http.requests import (
    SHORT_LIMIT,
    Page,
    conditions,
    order_by,
    owner_of,
    page,
    shown_fields,
)
from api.http.responses import Shown, list_parts, only, page_answer, stream
from api.resources.walks import walk_answer, walk_asked
from ledger.domain.errors import NotFound
from projections.views.filters import Conditions, Lookup, Order
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
"""The filters of lists of tags."""
FILTERS: Mapping[str, Lookup] = {**NAME_FILTERS, "tag": "tag", "tag__name": "tag_name"}
"""The filters of lists of drives and of servers."""
ORDERING = ("uuid", "name")
"""What lists of drives, servers and tags can be ordered by."""


class Named(Protocol):
    """Anything with a uuid."""

    @property
    def uuid(self) -> str: ...


R_co = TypeVar("R_co", bound=Named, covariant=True)
S_co = TypeVar("S_co", bound=Struct, covariant=True)
Action = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ReadPage(Protocol[R_co]):
    """Reads a page of an account's resources that meet the conditions."""

    def __call__(
        self, snapshot: Snapshot, owner: str, conditions: Conditions, /, *, limit: int, offset: int
    ) -> Sequence[R_co]: ...


@dataclass(frozen=True)
class Collection(Generic[R_co, S_co]):
    """An account's drives, servers or tags: how they are counted, read and shown."""

    kind: Walked
    views: Views
    filters: Mapping[str, Lookup]
    count: Callable[[Snapshot, str, Conditions], int]
    read_page: ReadPage[R_co]
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
        """Answer with a short list at once, with a longer one as a stream.

        `fields` are shown if the request names none. The listed resources meet the conditions
        `always` as well as those of the request.
        """
        owner = owner_of(request)
        asked, fields = page(request), shown_fields(request) or fields
        wanted = [*always, *conditions(request, self.filters)]
        order = order_by(request, ORDERING)
        walk = walk_asked(request, self.kind, wanted)
        if walk is not None:
            return await walk_answer(
                self.views,
                walk,
                lambda snapshot, uuids: self.read_among(snapshot, uuids, owner),
                partial(self._show_all, fields=fields),
            )
        if order or is_search(wanted):
            return await stream(request, self._found(owner, wanted, order, asked, fields))
        with self.views.snapshot() as snapshot:
            total = self.count(snapshot, owner, wanted)
            if asked.is_short(total):
                limit, offset = asked.sql_limit, asked.offset
                found = self.read_page(snapshot, owner, wanted, limit=limit, offset=offset)
                return page_answer(asked, total, self._show_all(found, fields))
        return await stream(request, self._parts(owner, wanted, asked, fields))

    def _parts(
        self, owner: str, wanted: Conditions, asked: Page, fields: frozenset[str] | None
    ) -> Generator[bytes]:
        with self.views.long_snapshot() as snapshot:
            batches = self._batches(snapshot, owner, wanted, asked)
            shown = (self._show_all(batch, fields) for batch in batches)
            yield from list_parts(asked, self.count(snapshot, owner, wanted), shown)

    def _found(
        self,
        owner: str,
        wanted: Conditions,
        order: Sequence[Order],
        asked: Page,
        fields: frozenset[str] | None,
    ) -> Generator[bytes]:
        """Search once, however long the page is."""
        with self.views.long_snapshot() as snapshot:
            limit, offset = asked.sql_limit, asked.offset
            total, uuids = snapshot.search(
                self.kind, owner, wanted, order=order, limit=limit, offset=offset
            )
            batches = (uuids[at : at + SHORT_LIMIT] for at in range(0, len(uuids), SHORT_LIMIT))
            shown = (
                self._show_all(self.read_among(snapshot, some, owner), fields) for some in batches
            )
            yield from list_parts(asked, total, shown)

    def _batches(
        self, snapshot: Snapshot, owner: str, wanted: Conditions, page: Page
    ) -> Iterator[Sequence[R_co]]:
        """Yield all that a page asks for, some at a time."""
        done = 0
        while not page.limit or done < page.limit:
            size = min(page.limit - done, SHORT_LIMIT) if page.limit else SHORT_LIMIT
            offset = page.offset + done
            batch = self.read_page(snapshot, owner, wanted, limit=size, offset=offset)
            yield batch
            if len(batch) < size:
                return
            done += size

    def _show_all(self, found: Sequence[R_co], fields: frozenset[str] | None) -> list[Shown]:
        return [only(self.show(each), fields) for each in found]


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
