"""Lists: quick and short ones are read at once, others in a thread and in batches."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import NamedTuple

from aiohttp import web

from api.http.responses import JsonObject, ListMeta, Shown, WalkMeta, json_answer, list_pieces
from api.http.streams import stream
from api.service.answer_bytes import PART_BYTES
from projections.views.snapshot import Snapshot
from projections.views.views import Views
from projections.views.walks import Walked

BATCH_BYTES = 64 * 1024
"""About the size of a batch of a list that is read in a thread."""


class Found(NamedTuple):
    """The meta of a list, and the uuids of its objects, which may be many."""

    meta: ListMeta | WalkMeta
    uuids: Iterable[str]
    is_short: bool = True
    """Whether there are few of them."""


class Listing(NamedTuple):
    """A list that a request asks for: how its objects are found, and how some of them are shown."""

    kind: Walked
    find: Callable[[Snapshot], Found]
    read: Callable[[Snapshot, Sequence[str]], Sequence[Shown]]
    is_quick: bool
    """Whether finding them is quick enough for the event loop."""


async def list_answer(request: web.Request, views: Views, listing: Listing) -> web.StreamResponse:
    """Answer with the list. Raise `TooMuch` if the account has too many such answers already."""
    if listing.is_quick:
        with views.snapshot() as snapshot:
            shown = _read_at_once(snapshot, listing)
        if shown is not None:
            return json_answer(shown)
    return await stream(request, _pieces(views, listing))


def _read_at_once(snapshot: Snapshot, listing: Listing) -> JsonObject | None:
    """Return the whole list, unless it is too long to be read in the event loop."""
    meta, uuids, is_short = listing.find(snapshot)
    if not is_short:
        return None
    fitting = snapshot.fitting(listing.kind, uuids, PART_BYTES)
    if fitting is None:
        return None
    return {"meta": meta, "objects": listing.read(snapshot, fitting)}


def _pieces(views: Views, listing: Listing) -> Generator[bytes]:
    with views.long_snapshot() as snapshot:
        meta, uuids, _ = listing.find(snapshot)
        batches = snapshot.batches(listing.kind, uuids, BATCH_BYTES)
        yield from list_pieces(meta, (listing.read(snapshot, some) for some in batches))
