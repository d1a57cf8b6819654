"""What drives and servers have in common: lists of either, and actions."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiohttp import web

from api.answers import batches, list_parts, page_answer, stream
from api.errors import BadRequest
from api.requests import CALLER, Page, page, shown_fields
from api.shapes import JsonObject, only
from ledger.errors import NotFound
from projections.views.reading import Snapshot, SqliteViews


class Named(Protocol):
    """What has a uuid."""

    @property
    def uuid(self) -> str: ...


N = TypeVar("N", bound=Named)


@dataclass(frozen=True)
class Collection:
    """An account's drives or servers: how many there are, and some of them by limit and offset."""

    views: SqliteViews
    count: Callable[[Snapshot, str], int]
    read: Callable[[Snapshot, str, int, int], list[JsonObject]]

    async def answer(
        self, request: web.Request, fields: frozenset[str] | None = None
    ) -> web.StreamResponse:
        """A page at once, more as a stream; `fields` are what is shown if none are asked for."""
        owner = request[CALLER].actor
        asked, fields = page(request), shown_fields(request) or fields
        if not asked.is_short:
            return await stream(request, self._parts(owner, asked, fields))
        with self.views.snapshot() as snapshot:
            total = self.count(snapshot, owner)
            found = self.read(snapshot, owner, asked.limit, asked.offset)
        return page_answer(asked, total, [only(each, fields) for each in found])

    def _parts(self, owner: str, asked: Page, fields: frozenset[str] | None) -> Iterator[bytes]:
        with self.views.long_snapshot() as snapshot:
            found = batches(lambda limit, offset: self.read(snapshot, owner, limit, offset), asked)
            shown = ([only(each, fields) for each in batch] for batch in found)
            yield from list_parts(asked, self.count(snapshot, owner), shown)


async def do_action(
    request: web.Request,
    actions: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]],
) -> web.StreamResponse:
    """What `?do=` names."""
    name = request.query.get("do")
    if name is None:
        raise BadRequest("do is required: the action's name", point="do")
    if name not in actions:
        raise BadRequest(f"do must be one of {', '.join(actions)}", point="do")
    return await actions[name](request)


def complete(
    found: Sequence[N], uuids: Sequence[str], missing: Callable[[str], NotFound]
) -> Sequence[N]:
    """What was found, if it is all that was asked for; else the refusal for what is missing."""
    absent = set(uuids).difference(thing.uuid for thing in found)
    if absent:
        raise missing(min(absent))
    return found
