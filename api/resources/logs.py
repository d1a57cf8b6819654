"""`/logs/`: what was done to an account's resources, and by whom."""

from collections.abc import Generator, Iterator
from itertools import islice

from aiohttp import web
from msgspec.structs import asdict

from api.http.requests import Page, owner_of, page, shown_fields
from api.http.responses import JsonObject, Shown, list_pieces, only, page_meta
from api.http.streams import stream
from api.resources.references import reference_to
from api.service.service import Service
from projections.views.read_models import LogEntry
from projections.views.reader import STREAM_ROWS


class Logs:
    """The handler of `/logs/`."""

    def __init__(self, service: Service) -> None:
        self._views = service.views

    async def list(self, request: web.Request) -> web.StreamResponse:
        """List the newest entry first."""
        pieces = self._pieces(owner_of(request), page(request), shown_fields(request))
        return await stream(request, pieces)

    def _pieces(self, owner: str, asked: Page, fields: frozenset[str] | None) -> Generator[bytes]:
        with self._views.long_snapshot() as snapshot:
            meta = page_meta(asked, snapshot.count_log_entries(owner))
            entries = islice(snapshot.log_entries(owner), asked.bounds.start, asked.bounds.stop)
            shown = (only(log_json(entry), fields) for entry in entries)
            yield from list_pieces(meta, _batches(shown))


def _batches(shown: Iterator[Shown]) -> Iterator[list[Shown]]:
    while batch := list(islice(shown, STREAM_ROWS)):
        yield batch


def log_json(entry: LogEntry) -> JsonObject:
    """Return a line of the audit log; one that the service itself caused has no actor.

    The timestamp has a blank where all others have a `T`.
    """
    line, by_account = entry.line, ":" not in entry.actor
    return {
        "action": line.action,
        "actor": asdict(reference_to("user", entry.actor)) if by_account else None,
        "category": line.category,
        "details": "" if by_account else entry.actor.partition(":")[0],
        "error_message": line.error,
        "error_point": None,
        "error_type": "backend" if line.error else None,
        "success": not line.error,
        "timestamp": entry.recorded_at.replace("T", " "),
        "uuid": line.uuid,
    }
