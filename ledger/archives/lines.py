"""An event as a line of an archive, and back, to the byte."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ledger.archives.errors import BadArchive
from ledger.codec import leaf_hash
from ledger.store.seam import LoggedEvent

MANY_BRACKETS = 100
DEPTH_MARGIN = 200
"""A reader may have this much less of the interpreter's stack left than the writer had."""


class _Line(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    position: int
    leaf_index: int
    stream: str
    version: int
    topic: str
    event: Raw | UnsetType = UNSET
    base64: bytes | UnsetType = UNSET


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


def line_of(event: LoggedEvent) -> bytes:
    """Return the event as a line, with its line end."""
    head = event.position, event.leaf_index, event.stream, event.version, event.topic
    if _is_compact_json(event.state):
        line = _Line(*head, event=Raw(event.state))
    else:
        line = _Line(*head, base64=event.state)
    return _encoder.encode(line) + b"\n"


def events_of(lines: bytes) -> list[LoggedEvent]:
    """Return the events of whole lines. Raise `BadArchive`."""
    try:
        return [_event(line) for line in _decoder.decode_lines(lines)]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadArchive(f"a line is no event: {error}") from error


def events_of_stream(lines: bytes, stream: str) -> Iterator[LoggedEvent]:
    """Yield the events of one stream among these lines, without parsing all the others."""
    sought = b'"stream":' + _encoder.encode(stream) + b","
    end = 0
    while (found := lines.find(sought, end)) >= 0:
        start = lines.rfind(b"\n", 0, found) + 1
        end = lines.find(b"\n", found) + 1 or len(lines)
        # The text may also stand somewhere within another stream's event.
        yield from (event for event in events_of(lines[start:end]) if event.stream == stream)


def _event(line: _Line) -> LoggedEvent:
    match line.event, line.base64:
        case Raw() as raw, UnsetType():
            state = bytes(raw)
        case UnsetType(), bytes() as state:
            pass
        case _:
            raise BadArchive(f"the line of position {line.position} has not one event")
    return LoggedEvent(
        line.position,
        line.leaf_index,
        line.stream,
        line.version,
        line.topic,
        state,
        leaf_hash(line.stream, line.version, line.topic, state),
    )


def _is_compact_json(state: bytes) -> bool:
    """Whether the encoder would write exactly these bytes for their content, on one line."""
    try:
        if state.count(b"[") + state.count(b"{") > MANY_BRACKETS:
            msgspec.json.decode(b"[" * DEPTH_MARGIN + state + b"]" * DEPTH_MARGIN)
        return _encoder.encode(msgspec.json.decode(state)) == state
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
