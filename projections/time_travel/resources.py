"""The drives and servers that existed at a position."""

from collections.abc import Collection

from ledger.archives import Shelf
from ledger.domain.events.drives import drive_stream
from ledger.domain.events.servers import server_stream
from ledger.store.tables.streams import Span, spans
from projections.views.snapshot import Snapshot

Named = tuple[str, str]
"""A kind, as in URIs, and a uuid."""


def resources_at(
    snapshot: Snapshot, archives: Shelf, named: Collection[Named], position: int
) -> set[Named]:
    """Return those that had been created by then and not been deleted.

    The last event of a deleted resource is its deletion.
    """
    by_stream = {_stream(kind, uuid): (kind, uuid) for kind, uuid in named}
    uuids = [uuid for _, uuid in by_stream.values()]
    there = {each.uuid for each in snapshot.drives_and_servers(uuids)}
    stored = spans(snapshot.cursor, list(by_stream))
    gone = [stream for stream, (_, uuid) in by_stream.items() if uuid not in there]
    discarded = set(gone) - snapshot.departed(gone)
    archived = {stream: _archived(archives, stream) for stream in discarded}
    found = set()
    for stream, (kind, uuid) in by_stream.items():
        # What is in an archive may be on its way out of the store.
        span = archived.get(stream) or stored.get(stream)
        if span is None or span.first > position:
            continue
        if uuid in there or span.last > position:
            found.add((kind, uuid))
    return found


def _archived(archives: Shelf, stream: str) -> Span | None:
    events = archives.stream(stream)
    return Span(events[0].position, events[-1].position) if events else None


def _stream(kind: str, uuid: str) -> str:
    return drive_stream(uuid) if kind == "drives" else server_stream(uuid)
