"""`/logs/`: what was done to an account's resources, and by whom."""

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from api.http.fields import Reference, Representation, Uuid, about
from api.http.requests import Page, owner_of, page, shown_fields
from api.http.responses import Shown, list_pieces, only, page_meta
from api.http.streams import stream
from api.resources.references import reference_to
from api.service.service import Service
from projections.audit_log import ACTIONS, CATEGORIES
from projections.views import read_models
from projections.views.reader import STREAM_ROWS

_TIMESTAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00$"


class Logs:
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
            shown = (only(represent_entry(entry), fields) for entry in entries)
            yield from list_pieces(meta, _batches(shown))


def _batches(shown: Iterator[Shown]) -> Iterator[list[Shown]]:
    while batch := list(islice(shown, STREAM_ROWS)):
        yield batch


class LogEntry(Representation, frozen=True):
    """A line of the audit log."""

    action: Annotated[str, Meta(extra_json_schema={"enum": ACTIONS})]
    actor: Annotated[Reference | None, about("Who did it; null for the service itself.")]
    category: Annotated[str, Meta(extra_json_schema={"enum": CATEGORIES})]
    details: str
    error_message: str
    error_point: None
    error_type: Literal["backend"] | None
    success: bool
    timestamp: Annotated[str, about("With a space instead of the T.", pattern=_TIMESTAMP)]
    uuid: Annotated[Uuid, about("The uuid of the resource concerned.")]


def represent_entry(entry: read_models.LogEntry) -> LogEntry:
    """Return a line; one that the service itself caused has no actor."""
    line, by_account = entry.line, ":" not in entry.actor
    return LogEntry(
        action=line.action,
        actor=reference_to("user", entry.actor) if by_account else None,
        category=line.category,
        details="" if by_account else entry.actor.partition(":")[0],
        error_message=line.error,
        error_point=None,
        error_type="backend" if line.error else None,
        success=not line.error,
        timestamp=entry.recorded_at.replace("T", " "),
        uuid=line.uuid,
    )
