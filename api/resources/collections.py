"""What drives, servers, tags, keypairs and addresses share: lists, changes and actions."""

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web
from msgspec import Struct

from api.http.errors import BadRequest
from api.http.not_applied import note_not_applied
from api.http.outcome import Changed, show
from api.http.record import record_command
from api.http.requests import conditions, order_by, owner_of, page, shown_fields, uuid_in_url
from api.http.responses import Shown, json_answer, only, page_meta
from api.http.streams import read_in_lane
from api.resources.lists import BATCH_BYTES, Found, Listing, list_answer
from api.resources.references import references
from api.resources.walks import walk_asked
from api.service.service import Service
from ledger.domain.commands import Command
from ledger.domain.errors import NotFound
from projections.views.filters import Condition, Conditions, Lookup, is_narrow
from projections.views.reader import Named
from projections.views.searches import is_search
from projections.views.snapshot import Snapshot
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
AT_ONCE = 50
"""The most things that are shown by one answer made in the event loop, however short they are."""
ORDERS = ("uuid", "name")
"""The orders of lists; a list has those by which it can also be filtered."""


def ordering(filters: Container[str]) -> list[str]:
    """Return what a list with these filters can be ordered by."""
    return [field for field in ORDERS if field in filters]


R_co = TypeVar("R_co", bound=Named, covariant=True)
S_co = TypeVar("S_co", bound=Struct, covariant=True)
E = TypeVar("E")
T = TypeVar("T")
Action = Callable[[web.Request], Awaitable[web.StreamResponse]]
Placed = Sequence[tuple[str, str]]
"""Uuids, each with the pool or host that it is on."""


@dataclass(frozen=True)
class Collection(Generic[R_co, S_co]):
    """An account's drives, servers, tags or keypairs: how they are counted, read and shown."""

    kind: Walked
    service: Service
    filters: Mapping[str, Lookup]
    read_among: Callable[[Snapshot, Sequence[str], str], Sequence[R_co]]
    show: Callable[[R_co], S_co]
    missing: Callable[[str], NotFound]
    list_fields: frozenset[str] | None = None
    """The fields that a list shows unless it is detailed; None: all."""
    uuid_of: Callable[[web.Request, Callable[[str], NotFound]], str] = uuid_in_url

    # Handlers

    async def list(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, self.list_fields)

    async def list_detail(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request)

    async def one(self, request: web.Request) -> web.Response:
        uuid = self.uuid_of(request, self.missing)
        return await self.make(request, [uuid], lambda found: json_answer(self.show(found[0])))

    # Their parts

    async def make(
        self, request: web.Request, uuids: Sequence[str], make: Callable[[Sequence[R_co]], T]
    ) -> T:
        """Return what `make` makes of all of these.

        If they are many, or long, as a tag that thousands of things bear, that is done in a thread.
        Raise `missing` if the account may not see one, and what `read_in_lane` raises.
        """
        owner, views = owner_of(request), self.service.views
        with views.snapshot() as snapshot:
            if (
                len(uuids) <= AT_ONCE
                and snapshot.fitting(self.kind, uuids, BATCH_BYTES) is not None
            ):
                return make(self._among(snapshot, owner, uuids))

        def read() -> T:
            with views.long_snapshot() as snapshot:
                return make(self._among(snapshot, owner, uuids))

        return await read_in_lane(request, read)

    def check_there(self, owner: str, uuid: str) -> None:
        """Raise `missing` if the account has no such thing, of whatever length."""
        with self.service.views.snapshot() as snapshot:
            if not snapshot.count(self.kind, owner, [Condition("uuid", (uuid,))]):
                raise self.missing(uuid)

    def _among(self, snapshot: Snapshot, owner: str, uuids: Sequence[str]) -> Sequence[R_co]:
        found = self.read_among(snapshot, uuids, owner)
        absent = set(uuids).difference(each.uuid for each in found)
        if absent:
            raise self.missing(min(absent))
        return found

    async def record(
        self,
        request: web.Request,
        command: Command,
        uuids: Sequence[str],
        status: int,
        answer: Callable[[Sequence[S_co]], web.Response],
    ) -> web.Response:
        """Record a command that makes or changes these, and answer with them as they are then.

        `status` is that of the answer. See `record_command` and `show` for what may fail.
        """
        await self._record(request, command, uuids, status)

        def shown(found: Sequence[R_co]) -> web.Response:
            return answer(list(map(self.show, found)))

        return await show(lambda: self.make(request, uuids, shown))

    async def edit(
        self,
        request: web.Request,
        command: Command,
        edits: Mapping[str, E],
        ignored: Callable[[E, R_co], Iterable[str]],
        answer: Callable[[Sequence[S_co]], web.Response],
    ) -> web.Response:
        """Do as `record` with edits of things by their uuids, and tell what they have ignored."""
        await self._record(request, command, list(edits), status=200)

        def shown(edited: Sequence[R_co]) -> tuple[web.Response, list[str]]:
            pairs = zip(edits.values(), edited, strict=True)
            fields = [field for edit, each in pairs for field in ignored(edit, each)]
            return answer(list(map(self.show, edited))), fields

        answered, fields = await show(lambda: self.make(request, list(edits), shown))
        note_not_applied(request, fields)
        return answered

    async def delete(
        self, request: web.Request, command: Command, uuids: Sequence[str]
    ) -> web.Response:
        """Record a command that deletes these, and answer."""
        await self._record(request, command, uuids, status=204)
        return web.Response(status=204)

    async def placed(
        self, request: web.Request, where: Callable[[Snapshot, str], Placed]
    ) -> Placed:
        """Return where the account's are, as `where` finds it."""

        def read() -> Placed:
            with self.service.views.long_snapshot() as snapshot:
                return where(snapshot, owner_of(request))

        return await read_in_lane(request, read)

    async def _record(
        self, request: web.Request, command: Command, uuids: Sequence[str], status: int
    ) -> None:
        changed = Changed(status, references(self.kind, uuids))
        await record_command(request, self.service.ledger, command, changed)

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
            total = snapshot.count(self.kind, owner, wanted)
            uuids = snapshot.listed(self.kind, owner, wanted, limit=limit, offset=offset)
            return Found(page_meta(asked, total), uuids, is_short=asked.is_short(total))

        walk = walk_asked(request, self.kind, wanted)
        if walk is not None:
            listing = Listing(self.kind, walk.find, read, is_quick=walk.is_short)
        else:
            is_quick = not is_searched and is_narrow(wanted)
            listing = Listing(self.kind, find, read, is_quick=is_quick)
        return await list_answer(request, self.service.views, listing)


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
