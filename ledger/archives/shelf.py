"""All archives of a ledger, as one thing to look things up in.

The directory is looked at each time, so archives that are added or removed meanwhile are noticed.
Of each one only what it spans is remembered, and the indexes of the few that were used last. May be
used from several threads. Whatever is wrong with an archive that had to be read is `BadArchive`.
"""

import heapq
import threading
from collections import OrderedDict
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ledger.archives.errors import ArchiveMissing, BadArchive
from ledger.archives.layout import PART, SUFFIX, Trees, archive_path, is_name
from ledger.archives.reader import Archive
from ledger.archives.trees import ArchivedTree, TreesSpan
from ledger.domain.events import job_stream
from ledger.store.seam import LoggedEvent

INDEXES_KEPT = 4

_Identity = tuple[int, int, int]
"""Inode, size and time of change: another one is another file."""


class _Span(NamedTuple):
    name: str
    first: int
    last: int
    first_leaf: int
    last_leaf: int
    trees: TreesSpan | None


class Shelf:
    """The archives in one directory, which need not be there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._spans: dict[str, tuple[_Identity, _Span]] = {}
        self._kept: OrderedDict[str, tuple[_Identity, Archive]] = OrderedDict()

    def names(self) -> list[str]:
        """What archives there are, by name. Raises `BadArchive` where one cannot look."""
        try:
            files = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadArchive(f"{self._directory}: it cannot be read: {error.strerror}") from error
        names = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
        return sorted(filter(is_name, names))

    def get(self, name: str) -> Archive:
        """Raises `BadArchive`; `ArchiveMissing` where there is none of that name."""
        if not is_name(name):
            raise ArchiveMissing(f"no archive is called {name!r}")
        path = archive_path(self._directory, name)
        identity = _identity(path)
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None and kept[0] == identity:
                self._kept.move_to_end(name)
                return kept[1]
        archive = Archive.open(path)
        with self._lock:
            self._kept[name] = identity, archive
            self._kept.move_to_end(name)
            if len(self._kept) > INDEXES_KEPT:
                self._kept.popitem(last=False)
        return archive

    def size(self, name: str) -> int:
        """The bytes of an archive's file. Raises `BadArchive`."""
        return _identity(archive_path(self._directory, name))[1]

    def remove(self, name: str) -> None:
        """Deletes an archive whose events are elsewhere."""
        archive_path(self._directory, name).unlink(missing_ok=True)

    def unfinished(self) -> list[Path]:
        """What is being written, or was left so by a crash."""
        return sorted(self._directory.glob(f"*{SUFFIX}{PART}"))

    def remove_unfinished(self) -> None:
        """Deletes what a crash left; for whoever alone writes archives here."""
        for part in self.unfinished():
            part.unlink(missing_ok=True)

    def stream(self, stream: str) -> list[LoggedEvent] | None:
        """The events of a stream, from the newest archive that has it; None where none has."""
        for span in self._newest_first():
            if found := self.get(span.name).stream(stream):
                return found
        return None

    def trees(self, owner: str, position: int) -> list[ArchivedTree]:
        """The owner's trees of which there was something at this position, not yet discarded.

        In the order of their first positions.
        """
        found = [
            tree
            for span in self._newest_first()
            if span.trees is not None and span.trees.first <= position < span.trees.discarded
            for tree in self.get(span.name).trees
            if tree.owner == owner and tree.first <= position < tree.discarded
        ]
        return sorted(found, key=lambda tree: tree.first)

    def discarded_after(self, position: int) -> Iterator[ArchivedTree]:
        """All trees that were discarded after this position; other archives are not looked into."""
        for span in self._newest_first():
            if span.trees is not None and span.trees.discarded > position:
                trees = self.get(span.name).trees
                yield from (tree for tree in trees if tree.discarded > position)

    def tree_of(self, job: str) -> ArchivedTree | None:
        """The tree that a job belongs to, from the newest archive that has it."""
        for span in self._newest_first():
            archive = self.get(span.name)
            # Its events are looked for first: for that the trees need not be decoded.
            if archive.may_have(job_stream(job)) and (tree := archive.tree_of(job)):
                return tree
        return None

    def leaves(self, first: int, last: int) -> dict[int, bytes]:
        """The leaves with these indexes that are here, from `first` to `last`, both included."""
        return {
            leaf_index: leaf
            for span in self._newest_first()
            if span.first_leaf <= last and span.last_leaf >= first
            for leaf_index, leaf in self.get(span.name).leaves(first, last)
        }

    def events(self, after: int = 0, names: Container[str] | None = None) -> Iterator[LoggedEvent]:
        """Every event with a higher position, of all archives, in the order of positions.

        With `names`, of these archives only: those of a ledger as it was at one moment.

        An archive's frames are read from when its first position is reached. The same event in two
        archives comes twice.
        """
        spans = sorted(
            (span for span in self._all_spans() if names is None or span.name in names),
            key=lambda span: span.first,
        )
        reached: list[tuple[int, int, LoggedEvent, Iterator[LoggedEvent]]] = []
        for nth, span in enumerate(spans):
            if span.last > after:
                yield from _merged(reached, before=span.first)
                _push(reached, nth, self.get(span.name).events(after))
        yield from _merged(reached)

    def _newest_first(self) -> list[_Span]:
        return sorted(self._all_spans(), key=lambda span: span.last, reverse=True)

    def _all_spans(self) -> list[_Span]:
        """Of all archives that are there now."""
        names = self.names()
        spans = []
        for name in names:
            with suppress(ArchiveMissing):  # it vanished just now
                spans.append(self._span(name))
        with self._lock:
            for gone in self._spans.keys() - set(names):
                del self._spans[gone]
        return spans

    def _span(self, name: str) -> _Span:
        identity = _identity(archive_path(self._directory, name))
        with self._lock:
            known = self._spans.get(name)
        if known is not None and known[0] == identity:
            return known[1]
        span = _span_of(self.get(name))
        with self._lock:
            self._spans[name] = identity, span
        return span


def _span_of(archive: Archive) -> _Span:
    frames = archive.contents.frames
    return _Span(
        archive.name,
        archive.first,
        archive.last,
        min((frame.first_leaf for frame in frames), default=0),
        max((frame.last_leaf for frame in frames), default=-1),
        _whole(archive.contents.trees),
    )


def _whole(trees: Sequence[Trees]) -> TreesSpan | None:
    """What all of them span together; None where there are none."""
    if not trees:
        return None
    return TreesSpan(
        min(some.span.first for some in trees), max(some.span.discarded for some in trees)
    )


def _identity(path: Path) -> _Identity:
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise ArchiveMissing(f"{path}: it is not there") from error
    except OSError as error:
        raise BadArchive(f"{path}: it cannot be read: {error.strerror}") from error
    return state.st_ino, state.st_size, state.st_mtime_ns


def _push(
    heap: list[tuple[int, int, LoggedEvent, Iterator[LoggedEvent]]],
    nth: int,
    events: Iterator[LoggedEvent],
) -> None:
    """The next of these events, if there is one; `nth` decides between equal positions."""
    for event in events:
        heapq.heappush(heap, (event.position, nth, event, events))
        return


def _merged(
    heap: list[tuple[int, int, LoggedEvent, Iterator[LoggedEvent]]], before: int | None = None
) -> Iterator[LoggedEvent]:
    """What is on the heap, and comes after it, up to the position `before`."""
    while heap and (before is None or heap[0][0] < before):
        _, nth, event, events = heapq.heappop(heap)
        yield event
        _push(heap, nth, events)
