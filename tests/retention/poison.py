"""Events that cannot be read, written directly to the file, with matching leaves."""

from typing import NamedTuple

from ledger.codec import leaf_hash
from tests.support.opened import Opened, behind_its_back


class Poisoned(NamedTuple):
    """An event as it was before; `mend` restores it."""

    opened: Opened
    position: int
    stream: str
    version: int
    topic: str
    state: bytes

    def mend(self) -> None:
        _write(self, self.topic, self.state)


_ANOTHER = (
    b'{"recorded_at":"2026-01-02T03:04:05Z","actor":"","request_id":"",'
    b'"event":{"clone_naming":"NONE"}}'
)

UNREADABLE: dict[str, tuple[str | None, bytes | None]] = {
    "an unknown name": ("job-exploded/1", None),
    "an unknown version": ("job-created/99", None),
    "another shape": (None, b'{"kettle":1}'),
    "no JSON": (None, b"\xff\x00 grandmother"),
    "another thing's event": ("profile-changed/1", _ANOTHER),
}
"""What replaces an event: a topic and bytes; None keeps the original."""


def poison(opened: Opened, stream: str, how: str = "no JSON", *, version: int = 1) -> Poisoned:
    """Make one event of a stream unreadable; the writer forgets its cache."""
    with opened.ledger.log() as log:
        stored = [each for each in log.events() if each.stream == stream]
    event = stored[version - 1 if version > 0 else version]
    before = Poisoned(opened, event.position, stream, event.version, event.topic, event.state)
    topic, state = UNREADABLE[how]
    _write(before, topic or event.topic, state or event.state)
    return before


def _write(event: Poisoned, topic: str, state: bytes) -> None:
    leaf = leaf_hash(event.stream, event.version, topic, state)
    with behind_its_back(event.opened.file) as connection:
        connection.execute(
            "UPDATE stored_events SET topic = ?, state = ?, leaf = ? WHERE position = ?",
            (topic, state, leaf, event.position),
        )
    ledger = event.opened.ledger
    ledger.exclusive(lambda _: None, afterwards=ledger.forget).result()
