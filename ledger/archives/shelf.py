"""All archives of a ledger, in which streams, trees, leaves and events are looked up.

The directory is listed each time, so archives that are added or removed meanwhile are noticed. What
each archive spans is cached, and so are the indexes of those used last. Thread-safe. Whatever is
wrong with an archive that has to be read raises `BadArchive`.
"""

import threading
from collections import OrderedDict
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ledger.archives.errors import ArchiveMissing, BadArchive
from ledger.archives.layout import PART, SUFFIX, Trees, archive_path, is_name
from ledger.archives.merge import merge_by_position
from ledger.archives.reader import Archive
from ledger.archives.trees import ArchivedTree, TreesSpan
from ledger.domain.events.jobs import job_stream
from ledger.images.files import require_regular
from ledger.store.seam import LoggedEvent

CACHED_INDEXES_MAX = 4

_Identity = tuple[int, int, int]
"""Inode, size and time of change: if one differs, it is another file."""


class _Span(NamedTuple):
    name: str
    first: int
    last: int
    first_leaf: int
    last_leaf: int
    trees: TreesSpan | None


class Shelf:
    """The archives in one directory, which need not exist."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._spans: dict[str, tuple[_Identity, _Span]] = {}
        self._kept: OrderedDict[str, tuple[_Identity, Archive]] = OrderedDict()

    def names(self) -> list[str]:
        """Return the names of all archives. Raise `BadArchive` if the directory cannot be read."""
        try:
            files = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadArchive(f"{self._directory}: it cannot be read: {error.strerror}") from error
        names = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
        return sorted(filter(is_name, names))

    def get(self, name: str) -> Archive:
        """Return the archive of this name. Raise `BadArchive`, or `ArchiveMissing` if absent."""
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
            if len(self._kept) > CACHED_INDEXES_MAX:
                self._kept.popitem(last=False)
        return archive

    def size(self, name: str) -> int:
        """Return the size of an archive's file in bytes. Raise `BadArchive`."""
        return _identity(archive_path(self._directory, name))[1]

    def remove(self, name: str) -> None:
        """Delete an archive whose events are elsewhere."""
        archive_path(self._directory, name).unlink(missing_ok=True)

    def unfinished(self) -> list[Path]:
        """Return the files that are being written, or were left so by a crash."""
        return sorted(self._directory.glob(f"*{SUFFIX}{PART}"))

    def remove_unfinished(self) -> None:
        """Delete what a crash left; only for the one process that writes archives here.

        Raise `BadArchive` for what cannot be deleted, such as a directory.
        """
        for part in self.unfinished():
            try:
                part.unlink(missing_ok=True)
            except OSError as error:
                raise BadArchive(f"{part}: it cannot be removed: {error.strerror}") from error

    def stream(self, stream: str) -> list[LoggedEvent] | None:
        """Return a stream's events from the newest archive that has it; None if none has."""
        for span in self._newest_first():
            if found := self.get(span.name).stream(stream):
                return found
        return None

    def trees(self, owner: str, position: int) -> list[ArchivedTree]:
        """Return the owner's trees that had begun at this position and were not yet discarded.

        They come in the order of their first positions.
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
        """Yield all trees that were discarded after this position; skip other archives."""
        for span in self._newest_first():
            if span.trees is not None and span.trees.discarded > position:
                trees = self.get(span.name).trees
                yield from (tree for tree in trees if tree.discarded > position)

    def tree_of(self, job: str) -> ArchivedTree | None:
        """Return the tree of a job from the newest archive that has it."""
        for span in self._newest_first():
            archive = self.get(span.name)
            # Its events are looked for first: for that the trees need not be decoded.
            if archive.may_have(job_stream(job)) and (tree := archive.tree_of(job)):
                return tree
        return None

    def leaves(self, first: int, last: int) -> dict[int, bytes]:
        """Return the leaves that are here by index, from `first` to `last`, both included."""
        return {
            leaf_index: leaf
            for span in self._newest_first()
            if span.first_leaf <= last and span.last_leaf >= first
            for leaf_index, leaf in self.get(span.name).leaves(first, last)
        }

    def events(self, after: int = 0, names: Container[str] | None = None) -> Iterator[LoggedEvent]:
        """Yield every event with a higher position, in the order of positions.

        With `names`, only those of these archives: the ones of a ledger as it was at one moment.
        An event that is in two archives comes twice.
        """
        spans = (span for span in self._all_spans() if names is None or span.name in names)
        yield from merge_by_position(
            (span.first, self._events(span.name, after)) for span in spans if span.last > after
        )

    def _events(self, name: str, after: int) -> Iterator[LoggedEvent]:
        yield from self.get(name).events(after)

    def _newest_first(self) -> list[_Span]:
        return sorted(self._all_spans(), key=lambda span: span.last, reverse=True)

    def _all_spans(self) -> list[_Span]:
        """Return what each archive spans that is there now."""
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
    """Return what all of them span together; None if there are none."""
    if not trees:
        return None
    return TreesSpan(
        min(some.span.first for some in trees), max(some.span.discarded for some in trees)
    )


def _identity(path: Path) -> _Identity:
    try:
        state = path.stat()
        require_regular(state, path)
    except FileNotFoundError as error:
        raise ArchiveMissing(f"{path}: it is not there") from error
    except OSError as error:
        raise BadArchive(f"{path}: it cannot be read: {error.strerror}") from error
    return state.st_ino, state.st_size, state.st_mtime_ns
