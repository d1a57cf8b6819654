"""`/logs/`: what was done to an account's things, and by whom."""

from collections.abc import Iterator
from itertools import islice

from aiohttp import web

from api.http.requests import SHORT_LIMIT, Page, owner_of, page, shown_fields
from api.http.responses import JsonObject, answer_of, aside, list_parts, only, stream
from api.resources.representations import log_json
from api.service.service import Service
from projections.views.reader import STREAM_ROWS


class Logs:
    """The handler of `/logs/`."""

    def __init__(self, service: Service) -> None:
        self._views = service.views

    async def list(self, request: web.Request) -> web.StreamResponse:
        """The newest first. A page is answered at once, a longer list streamed."""
        owner, asked = owner_of(request), page(request)
        parts = self._parts(owner, asked, shown_fields(request))
        if 0 < asked.limit <= SHORT_LIMIT:
            return answer_of(await aside(lambda: b"".join(parts)))
        return await stream(request, parts)

    def _parts(self, owner: str, asked: Page, fields: frozenset[str] | None) -> Iterator[bytes]:
        with self._views.long_snapshot() as snapshot:
            end = asked.offset + asked.limit if asked.limit else None
            entries = islice(snapshot.log_entries(owner), asked.offset, end)
            shown = (only(log_json(entry), fields) for entry in entries)
            yield from list_parts(asked, snapshot.count_log_entries(owner), _batches(shown))


def _batches(shown: Iterator[JsonObject]) -> Iterator[list[JsonObject]]:
    while batch := list(islice(shown, STREAM_ROWS)):
        yield batch
