"""`/events`: what has happened to the account's jobs, as CloudEvents, from cursor to cursor.

A cursor is where a reader is (`projections.views.events`). Clients take it as it is, from
`X-Ledger-Next`, which every answer has.
"""

import asyncio
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

from aiohttp import hdrs, web
from msgspec import UNSET, Struct, UnsetType

from api.http.fields import Time, about
from api.http.long_poll import wait_of
from api.http.permissions.call_rates import polling
from api.http.requests import POSITION, number, owner_of
from api.http.responses import encode
from api.http.streams import read_in_lane
from api.service.service import Service
from api.v1.problems import Problem, bad_value, problem_answer
from ledger.codec import decode, fields_of, name_of
from ledger.store.parameters import timestamp
from ledger.store.seam import LoggedEvent
from projections.views.events import EventReader, Moved, Place, Read, Wanted, acts_of

CLOUD_EVENTS = "application/cloudevents-batch+json"
NEXT = "X-Ledger-Next"
TYPE_PREFIX = "job-ledger."
EVENTS_MOST = 1_000
EVENTS_DEFAULT = 500
NOW = "now"
"""The cursor of a reader who wants only what is still to come."""
PARAMETERS = ("after", "wait", "limit", "types", "root", "series", "source", "owner")

_CURSOR = re.compile(r"([0-9a-f]{1,16})\.([0-9a-f]{1,15})\.([0-9a-f]{1,15})")
_WHY = {"restored": "ledger-restored", "archived": "events-archived"}
_DETAIL = {
    "restored": "the ledger was restored from a backup: what you have read may never have been",
    "archived": "events that you have not read are only in archives now",
}


class CloudEvent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """An event of a job (CloudEvents 1.0); its data has no words that anybody wrote."""

    specversion: Annotated[str, about("1.0")]
    id: Annotated[str, about("The event's position in the ledger.")]
    source: Annotated[str, about("The ledger, and its epoch: a restore begins a new one.")]
    type: Annotated[str, about("`job-ledger.` and the name of the event.")]
    subject: Annotated[str, about("The stream of the job: `job-` and its uuid.")]
    time: Time
    datacontenttype: Literal["application/json"]
    data: Annotated[dict[str, Any], about("The fields of the event.")]
    version: Annotated[int, about("The number of the event in its stream.")]
    root: Annotated[str, about("The uuid of the job at the top of the tree.")]
    actor: Annotated[
        str | UnsetType, about("Who caused it, if that was the account or the service.")
    ] = UNSET


def encode_cursor(place: Place) -> str:
    text = f"{place.epoch:x}.{place.position:x}.{place.knows:x}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Place:
    """Raise the problem `bad-value`."""
    with suppress(NoBase64, ValueError):
        padded = text + "=" * (-len(text) % 4)
        found = _CURSOR.fullmatch(urlsafe_b64decode(padded.encode("ascii")).decode("ascii"))
        if found is not None:
            return Place(*(int(number, 16) for number in found.groups()))
    raise bad_value("after", "after must be a cursor from X-Ledger-Next, or `now`")


class Events:
    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._feed = service.feed
        self._origin = service.checkpoints.verifier.name
        self._reader = EventReader()

    async def list(self, request: web.Request) -> web.Response:
        """Show the next events, oldest first; with `wait`, once there are any."""
        wanted, most, wait_s = _wanted(request), _most(request), wait_of(request)
        after = request.query.get("after", "")
        place = self._end() if after == NOW else decode_cursor(after) if after else None

        async def read(place: Place | None) -> Read | Moved:
            request[POSITION] = self._ledger.position
            return await read_in_lane(request, self._follow(place, wanted, most))

        if not wait_s:
            return self._answer(request, await read(place), wanted.owner)
        with polling(request):
            step = await self._wait(read, place, wanted.owner, wait_s)
        return self._answer(request, step, wanted.owner)

    async def _wait(
        self,
        read: Callable[[Place | None], Awaitable[Read | Moved]],
        place: Place | None,
        account: str,
        wait_s: float,
    ) -> Read | Moved:
        """Read on until there is anything to tell, or the time is over."""
        step: Read | Moved | None = None
        with self._feed.watch_account(account) as news, suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not self._feed.closed:
                    news.clear()
                    step = await read(place)
                    if isinstance(step, Moved) or step.events:
                        return step
                    place = step.next
                    if not step.more:
                        await news.wait()
        return step or await read(place)

    def _end(self) -> Place:
        with self._views.snapshot() as snapshot:
            return acts_of(snapshot.cursor).end

    def _follow(self, place: Place | None, wanted: Wanted, most: int) -> Callable[[], Read | Moved]:
        def follow() -> Read | Moved:
            with self._views.long_snapshot() as snapshot:
                return self._reader.follow(snapshot.cursor, place, wanted, most)

        return follow

    def _answer(self, request: web.Request, step: Read | Moved, owner: str) -> web.Response:
        cursor = encode_cursor(step.next)
        if isinstance(step, Moved):
            problem = Problem(_WHY[step.why], _DETAIL[step.why], {"cursor": cursor})
            answer = problem_answer(problem, "")
        else:
            source = f"{self._origin}/{step.next.epoch:x}"
            shown = [represent(event, root, source, owner) for event, root in step.events]
            answer = web.Response(body=encode(shown), headers={hdrs.CONTENT_TYPE: CLOUD_EVENTS})
        answer.headers[NEXT] = cursor
        return answer


def _wanted(request: web.Request) -> Wanted:
    given = request.query.get
    types = given("types")
    return Wanted(
        owner_of(request),
        None if types is None else frozenset(map(_name, types.split(","))),
        given("root"),
        given("source"),
        given("series"),
    )


def _name(kind: str) -> str:
    return kind.strip().removeprefix(TYPE_PREFIX)


def _most(request: web.Request) -> int:
    most = number(request, "limit", EVENTS_DEFAULT)
    if not 1 <= most <= EVENTS_MOST:
        raise bad_value("limit", f"limit goes from 1 to {EVENTS_MOST}", limit=EVENTS_MOST)
    return most


def represent(event: LoggedEvent, root: str, source: str, owner: str) -> CloudEvent:
    """Return an event for the job's owner, who does not learn who else has acted."""
    recorded = decode(event.topic, event.state)
    actor = recorded.actor
    may_know = actor == owner or ":" in actor or actor == "system"
    return CloudEvent(
        specversion="1.0",
        id=str(event.position),
        source=source,
        type=TYPE_PREFIX + name_of(event.topic),
        subject=event.stream,
        time=timestamp(recorded.recorded_at),
        datacontenttype="application/json",
        data=fields_of(recorded.event),
        version=event.version,
        root=root,
        actor=actor if may_know else UNSET,
    )
