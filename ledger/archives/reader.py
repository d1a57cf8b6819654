"""Reads archives: read-only, from nothing but the file.

Nothing stays open between two reads; a file that was changed meanwhile does not fit the digests in
the index that was read before. Whatever is wrong raises `BadArchive`.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Self

import msgspec

from ledger.archives.errors import ArchiveMissing, BadArchive
from ledger.archives.layout import (
    FOOTER_BYTES,
    HEADER_BYTES,
    SUFFIX,
    Contents,
    Frame,
    Packed,
    is_index_header,
    read_contents,
    read_footer,
    unpack,
)
from ledger.archives.lines import events_of, events_of_stream
from ledger.archives.streams import StreamIndex, StreamIndexBuilder
from ledger.archives.trees import ArchivedTree, span_of
from ledger.images.files import opened_regular
from ledger.store.seam import LoggedEvent

DIGEST_BLOCK_BYTES = 1024**2
"""Bytes that are read at a time for the digest of the whole file."""

_decode_trees = msgspec.msgpack.Decoder(tuple[ArchivedTree, ...]).decode


class Archive:
    """One archive whose contents have been read; the rest of the index is, once it is needed."""

    def __init__(self, path: Path, contents: Contents) -> None:
        """Made by `open`."""
        self.path = path
        self.contents = contents
        self._offsets = list(_offsets(contents))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an archive. Raise `BadArchive`, or `ArchiveMissing` if there is no file."""
        with _name_in_errors(path), opened_regular(path) as fd:
            return cls(path, _contents(fd))

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    @property
    def count(self) -> int:
        """The number of events."""
        return sum(frame.events for frame in self.contents.frames)

    @property
    def first(self) -> int:
        """The lowest position; 0 if there are no events."""
        return self.contents.frames[0].first if self.contents.frames else 0

    @property
    def last(self) -> int:
        """The highest position; 0 if there are no events."""
        return self.contents.frames[-1].last if self.contents.frames else 0

    @cached_property
    def trees(self) -> tuple[ArchivedTree, ...]:
        """The trees that were archived, as the writer was given them."""
        with _name_in_errors(self.path):
            return tuple(chain.from_iterable(self._read_trees()))

    @cached_property
    def _tree_by_job(self) -> dict[str, ArchivedTree]:
        return {job.uuid: tree for tree in self.trees for job in tree.jobs}

    @cached_property
    def _streams(self) -> StreamIndex:
        return StreamIndex(self._read_streams())

    def events(self, after: int = 0) -> Iterator[LoggedEvent]:
        """Yield every event with a higher position, in order."""
        for number, frame in enumerate(self.contents.frames):
            if frame.last > after:
                with _name_in_errors(self.path):
                    events = self._events(number)
                yield from (event for event in events if event.position > after)

    def stream(self, name: str) -> list[LoggedEvent]:
        """Return the events of one stream, in order; none if it is not here."""
        with _name_in_errors(self.path):
            return [
                event
                for number in self._streams.frames(name)
                for event in events_of_stream(self._lines(number), name)
            ]

    def may_have(self, stream: str) -> bool:
        """Whether a stream may be here; no is certain, yes nearly so."""
        with _name_in_errors(self.path):
            return bool(self._streams.frames(stream))

    def leaves(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield (leaf index, leaf) of the leaves from `first` to `last`, both included.

        They come in the order of positions.
        """
        for number, frame in enumerate(self.contents.frames):
            if frame.first_leaf <= last and frame.last_leaf >= first:
                with _name_in_errors(self.path):
                    events = self._events(number)
                for event in events:
                    if first <= event.leaf_index <= last:
                        yield event.leaf_index, event.leaf

    def tree_of(self, job: str) -> ArchivedTree | None:
        """Return the tree of the job, if it is here."""
        return self._tree_by_job.get(job)

    def check(self, digest: str | None = None) -> None:
        """Read the whole file and check that every part fits the others. Raise `BadArchive`.

        `digest` is that of the whole file, as in `Written`; without it, the file is only known to
        be complete.
        """
        with _name_in_errors(self.path):
            if digest is not None and _digest(self.path) != digest:
                raise BadArchive("it is not the file that was written: its digest is another")
            with opened_regular(self.path) as fd:
                if _contents(fd) != self.contents:
                    raise BadArchive("it was replaced since it was opened")
            self._check_streams()
            self._check_trees()

    def _check_streams(self) -> None:
        seen = StreamIndexBuilder()
        for number in range(len(self.contents.frames)):
            seen.note(number, {event.stream for event in self._events(number)})
        if seen.packed() != self._read_streams():
            raise BadArchive("its index of streams is not that of its frames")

    def _check_trees(self) -> None:
        spans = [span_of(trees) for trees in self._read_trees()]
        if spans != [trees.span for trees in self.contents.trees]:
            raise BadArchive("its contents tell of other trees than it has")

    def _events(self, number: int) -> list[LoggedEvent]:
        """Return the events of one frame, after a check that they are those of the index."""
        events = events_of(self._lines(number))
        _check_events(events, self.contents.frames[number])
        return events

    def _lines(self, number: int) -> bytes:
        if number >= len(self.contents.frames):
            raise BadArchive("its index of streams tells of a frame that is not there")
        return self._part(self._offsets[number], self.contents.frames[number])

    def _read_streams(self) -> bytes:
        return self._part(self.contents.index_start + HEADER_BYTES, self.contents.streams)

    def _read_trees(self) -> Iterator[tuple[ArchivedTree, ...]]:
        start = self.contents.index_start + HEADER_BYTES + self.contents.streams.length
        for some in self.contents.trees:
            yield _trees(self._part(start, some.packed))
            start += some.packed.length

    def _part(self, offset: int, part: Packed | Frame) -> bytes:
        with opened_regular(self.path) as fd:
            return unpack(_read(fd, offset, part.length), part)


def _offsets(contents: Contents) -> Iterator[int]:
    offset = 0
    for frame in contents.frames:
        yield offset
        offset += frame.length


def _contents(fd: int) -> Contents:
    """Read the contents from the end of the file, which must fit the file's size."""
    size = os.fstat(fd).st_size
    footer_start = max(0, size - FOOTER_BYTES)
    footer = read_footer(_read(fd, footer_start, size - footer_start))
    packed = _read(fd, footer_start - footer.contents_length, footer.contents_length)
    contents = read_contents(packed, footer)
    start = contents.index_start
    if start + HEADER_BYTES + footer.index_length != size:
        raise BadArchive("its frames and its index do not come to the size that it has")
    if not is_index_header(_read(fd, start, HEADER_BYTES), footer):
        raise BadArchive("between its frames and its index is something else")
    return contents


def _trees(encoded: bytes) -> tuple[ArchivedTree, ...]:
    try:
        trees = _decode_trees(encoded)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadArchive(f"its trees cannot be read: {error}") from error
    if not trees or not all(tree.jobs for tree in trees):
        raise BadArchive("it tells of trees without jobs")
    return trees


def _read(fd: int, offset: int, length: int) -> bytes:
    if offset < 0 or offset + length > os.fstat(fd).st_size:
        raise BadArchive("it is cut off")
    parts = []
    while length and (some := os.pread(fd, length, offset)):
        parts.append(some)
        offset, length = offset + len(some), length - len(some)
    return b"".join(parts)


def _check_events(events: list[LoggedEvent], frame: Frame) -> None:
    if len(events) != frame.events:
        raise BadArchive("its index tells of more or fewer events than its frames hold")
    positions = [event.position for event in events]
    leaves = [event.leaf_index for event in events]
    if any(next_ <= one for one, next_ in pairwise(positions)):
        raise BadArchive("its events are not in the order of positions")
    spans = positions[0], positions[-1], min(leaves), max(leaves)
    if spans != (frame.first, frame.last, frame.first_leaf, frame.last_leaf):
        raise BadArchive("its index tells of other events than its frames hold")


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    with opened_regular(path) as fd:
        while some := os.read(fd, DIGEST_BLOCK_BYTES):
            whole.update(some)
    return whole.hexdigest()


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Name the file in errors; turn those of the operating system into `BadArchive`."""
    try:
        yield
    except FileNotFoundError as error:
        raise ArchiveMissing(f"{path}: it is not there") from error
    except OSError as error:
        raise BadArchive(f"{path}: it cannot be read: {error.strerror}") from error
    except BadArchive as error:
        raise BadArchive(f"{path}: {error}") from error
