"""All events of the store and of the archives, in the order of their positions.

An archive that cannot be read is a finding; from there on it is treated as absent.
"""

import hashlib
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from ledger.archives import ArchiveMissing, BadArchive, Shelf
from ledger.archives.merge import merge_by_position
from ledger.codec import leaf_hash
from ledger.proofs.findings import BadArchiveFound, Changed, Finding, Misplaced, VersionGap
from ledger.store import untrusted_rows as raw
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.untrusted_rows import Damaged

OnFinding = Callable[[Finding], None]

_KEY_BYTES = 8


class LocatedEvent(NamedTuple):
    """An event and where it is; `leaf` is hashed anew from its bytes."""

    event: LoggedEvent
    leaf: bytes
    stored: bool
    archives: tuple[str, ...]


class _Copy(NamedTuple):
    """An event in one place; `archive` is empty for the store."""

    position: int
    archive: str
    event: LoggedEvent


@dataclass
class ArchiveUse:
    """How many events of an archive were read, and how many of them are in the store too."""

    events: int = 0
    also_stored: int = 0
    versions: dict[bytes, int] = field(default_factory=dict)
    """By the first bytes of the stream's SHA-256; an archive holds many streams."""


class EventSources:
    """The events of one ledger; `names` are the archives to read."""

    def __init__(
        self, cursor: Cursor, shelf: Shelf, names: Collection[str], found: OnFinding
    ) -> None:
        self._cursor = cursor
        self._shelf = shelf
        self._found = found
        self.archives = {name: ArchiveUse() for name in names}
        """The archives that exist, whether they could be read or not."""

    def events(self) -> Iterator[LocatedEvent]:
        """Yield each event once, in the order of positions; find what differs between places."""
        copies = heapq.merge(self._stored(), self._archived(), key=attrgetter("position"))
        for _, group in groupby(copies, key=attrgetter("position")):
            yield self._locate(sorted(group, key=attrgetter("archive")))

    def _locate(self, copies: list[_Copy]) -> LocatedEvent:
        event = copies[0].event
        stored = not copies[0].archive
        leaf = self._leaf(event) if stored else event.leaf  # which an archive does not keep
        archives = tuple(copy.archive for copy in copies if copy.archive)
        for copy in copies[1:]:
            if copy.event != event._replace(leaf=leaf):
                where = "the store" if stored else f"archive {archives[0]}"
                reason = f"in archive {copy.archive} it is not what it is in {where}"
                self._found(Changed(event.position, reason))
        if len(archives) > 1:
            self._found(Misplaced(event.position, f"it is in archives {' and '.join(archives)}"))
        for archive in archives:
            seen = self.archives[archive]
            seen.events += 1
            seen.also_stored += stored
        return LocatedEvent(event, leaf, stored, archives)

    def _leaf(self, event: LoggedEvent) -> bytes:
        leaf = leaf_hash(event.stream, event.version, event.topic, event.state)
        if leaf != event.leaf:
            self._found(Changed(event.position, "its leaf hash is not that of its bytes"))
        return leaf

    def _stored(self) -> Iterator[_Copy]:
        for row in raw.events(self._cursor):
            if isinstance(row, Damaged):
                self._found(Changed(row.position, row.reason))
            else:
                yield _Copy(row.position, "", row)

    def _archived(self) -> Iterator[_Copy]:
        return merge_by_position(
            (first, self._archive_events(name)) for first, name in self._firsts()
        )

    def _firsts(self) -> Iterator[tuple[int, str]]:
        for name in list(self.archives):
            try:
                yield self._shelf.get(name).first, name
            except ArchiveMissing:  # removed since it was seen: if it mattered, others miss it
                del self.archives[name]
            except BadArchive as error:
                self._found(BadArchiveFound(name, str(error)))

    def _archive_events(self, name: str) -> Iterator[_Copy]:
        versions = self.archives[name].versions
        try:
            for event in self._shelf.get(name).events():
                key = hashlib.sha256(event.stream.encode()).digest()[:_KEY_BYTES]
                if event.version != versions.get(key, 0) + 1:
                    self._found(VersionGap(event.position, event.stream))
                versions[key] = event.version
                yield _Copy(event.position, name, event)
        except BadArchive as error:
            self._found(BadArchiveFound(name, str(error)))
        versions.clear()


def version_gaps(
    versions: Iterable[tuple[bytes, int | None, int]], excused: Collection[str]
) -> Iterator[VersionGap]:
    """Where a stream in the store is not of versions 1, 2, 3 at growing positions.

    `excused` are the streams that a compaction is deleting.
    """
    for stream, group in groupby(versions, key=lambda row: row[0]):
        before = 0
        for version, (_, found, position) in enumerate(group, 1):
            if found != version or position <= before:
                name = stream.decode(errors="replace")
                if name not in excused:
                    yield VersionGap(position, name)
                break
            before = position
