"""`?as_of=` and `/jobs/{uuid}/history/`: jobs as they were, and the events of a job."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from aiohttp import web

from api.http.errors import BadRequest
from api.http.fields import DIGITS_LIMIT
from api.http.requests import (
    POSITION,
    SHORT_LIMIT,
    filter_values,
    owner_of,
    page,
    shown_fields,
    uuid_in_url,
)
from api.http.responses import json_answer, list_pieces, only, page_meta
from api.http.streams import read_in_lane, stream
from api.resources.jobs.lists import refuse_in_the_past
from api.resources.jobs.representation import represent_event, represent_job
from api.service.service import Service
from api.text.iso8601 import EXAMPLE, moment
from ledger.domain.errors.jobs import JobNotFound
from projections.time_travel.history import history
from projections.time_travel.past import CannotTell, Past

NODES_APART = timedelta(seconds=1)
"""How much later another node may know it to be: a client may ask it for the time first."""
AsOf = int | datetime
"""A position of the ledger, or a time."""


class TimeTravel:
    """Answers about the past; they are read in a thread, and their size is bounded."""

    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._archives = service.archives
        self._now = service.now

    def as_of(self, request: web.Request) -> AsOf | None:
        """Return the moment of the past that the request asks for; None means now.

        Raise `BadRequest` for what is neither a position nor a time, and for a future time.
        """
        given = request.query.getall("as_of", ()) if request.query_string else ()
        if not given:
            return None
        as_of = _position_or_time(given[-1])
        if isinstance(as_of, datetime) and as_of > self._now() + NODES_APART:
            raise BadRequest("as_of is a time to come", point="as_of")
        return as_of

    async def job(self, request: web.Request, uuid: str, as_of: AsOf) -> web.Response:
        owner = owner_of(request)

        def read() -> web.Response:
            with self._past(request, as_of) as past:
                tree = past.job(uuid, owner)
            if tree is None:
                raise JobNotFound(uuid)
            return json_answer(represent_job(tree, None))

        return await read_in_lane(request, read)

    async def list(self, request: web.Request, as_of: AsOf) -> web.StreamResponse:
        """Answer with a page of the list, in the order and with the count of that moment."""
        owner, asked, fields = owner_of(request), page(request), shown_fields(request)
        states = filter_values(request, "state")
        refuse_in_the_past(request)
        if not 0 < asked.limit <= SHORT_LIMIT:
            raise BadRequest(f"with as_of, limit goes from 1 to {SHORT_LIMIT}", point="limit")

        def pieces() -> Generator[bytes]:
            with self._past(request, as_of) as past:
                total, trees = past.jobs(owner, states, limit=asked.limit, offset=asked.offset)
            shown = ([only(represent_job(tree, None), fields)] for tree in trees)
            yield from list_pieces(page_meta(asked, total), shown)

        return await stream(request, pieces())

    async def history(self, request: web.Request) -> web.StreamResponse:
        """List the events by their versions. A job has a few hundred: no page is too long."""
        uuid, owner = uuid_in_url(request, JobNotFound), owner_of(request)
        asked, fields = page(request), shown_fields(request)
        newest_first = _newest_first(request)

        def pieces() -> Generator[bytes]:
            with self._views.long_snapshot() as snapshot:
                events = history(snapshot, self._archives, uuid, owner)
            if events is None:
                raise JobNotFound(uuid)
            ordered = events[::-1] if newest_first else events
            shown = (
                [only(represent_event(event, owner), fields)] for event in ordered[asked.bounds]
            )
            yield from list_pieces(page_meta(asked, len(events)), shown)

        return await stream(request, pieces())

    @contextmanager
    def _past(self, request: web.Request, as_of: AsOf) -> Iterator[Past]:
        """Open the past; the answer's position is that of the moment it shows."""
        try:
            with self._views.long_snapshot() as snapshot:
                past = Past(snapshot, self._archives, as_of)
                request[POSITION] = past.position
                yield past
        except CannotTell as error:
            raise BadRequest(f"as_of: {error}", point="as_of") from None


def _newest_first(request: web.Request) -> bool:
    """Return whether the last version comes first; raise `BadRequest` for another order."""
    order = request.query.get("order_by", "version")
    if order not in ("version", "-version"):
        raise BadRequest("events are ordered by version or by -version", point="order_by")
    return order == "-version"


def _position_or_time(text: str) -> AsOf:
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_LIMIT:
        return int(text)
    found = moment(text)
    if found is None:
        raise BadRequest(
            f"as_of must be a position, or a time with its offset such as {EXAMPLE}", point="as_of"
        )
    return found
