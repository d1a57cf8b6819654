"""Writes archives: frame by frame, completely or not at all.

Order: all into `<file>.part`, synced, renamed, directory synced. In memory is one frame, the index
and the trees that were given. Compression and digests let other threads run.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from ledger.archives.errors import ArchiveNotWritten
from ledger.archives.layout import (
    FRAME_BYTES,
    FRAME_BYTES_MOST,
    FRAME_EVENTS,
    INDEX_BYTES_MOST,
    LEVEL,
    PART,
    TREES_TOGETHER,
    Contents,
    Frame,
    Packed,
    Trees,
    archive_path,
    index,
    is_name,
    pack,
)
from ledger.archives.lines import line_of
from ledger.archives.streams import StreamIndexBuilder
from ledger.archives.trees import ArchivedTree, span_of
from ledger.images.errors import describe_os_error
from ledger.images.files import opened, sync_directory
from ledger.images.transfer import write_all
from ledger.store.seam import LoggedEvent


class Written(NamedTuple):
    """An archive on disk; `digest` is the SHA-256 of the file, the positions of no events are 0."""

    name: str
    digest: str
    events: int
    first: int
    last: int
    bytes: int


def write_archive(
    directory: Path, name: str, events: Iterable[LoggedEvent], trees: Sequence[ArchivedTree]
) -> Written:
    """Write the archive `<name>.jsonl.zst`; on return it is durable.

    The positions of `events` must grow; what the iterator raises passes. An archive of that name is
    replaced, and so is a `.part` that a crash left. Raise `ArchiveNotWritten`. After any error
    neither file is there; only a crash leaves its `.part`.
    """
    assert is_name(name), name
    path = archive_path(directory, name)
    part = path.with_name(f"{path.name}{PART}")
    try:
        with opened(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK) as fd:
            out = _Out(fd)
            frames = _write(out, events, trees)
            os.fsync(fd)
        part.rename(path)
        with _removing_on_error(path):
            sync_directory(directory)
    except OSError as error:
        raise ArchiveNotWritten(f"{path}: {describe_os_error(error)}") from error
    finally:
        _remove(part)
    return Written(
        name,
        out.digest(),
        sum(frame.events for frame in frames),
        frames[0].first if frames else 0,
        frames[-1].last if frames else 0,
        out.length,
    )


class _Out:
    """The file, its length and its digest so far."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._hash = hashlib.sha256()
        self.length = 0

    def write(self, data: bytes) -> None:
        write_all(self._fd, data, self.length)
        self._hash.update(data)
        self.length += len(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _write(
    out: _Out, events: Iterable[LoggedEvent], trees: Sequence[ArchivedTree]
) -> tuple[Frame, ...]:
    compressor = zstandard.ZstdCompressor(LEVEL, write_checksum=True)
    streams = StreamIndexBuilder()
    frames: list[Frame] = []
    for batch in _batches(events):
        streams.note(len(frames), {event.stream for event, _ in batch})
        packed, content = pack(b"".join(line for _, line in batch), compressor)
        frames.append(_frame(packed, [event for event, _ in batch]))
        out.write(content)
    of_streams, streams_content = pack(_check_size(streams.packed()), compressor)
    of_trees, trees_content = _pack_trees(trees, compressor)
    contents = Contents(tuple(frames), of_streams, of_trees)
    out.write(index(contents, streams_content, trees_content))
    return contents.frames


def _pack_trees(
    trees: Sequence[ArchivedTree], compressor: zstandard.ZstdCompressor
) -> tuple[tuple[Trees, ...], list[bytes]]:
    of_trees, contents = [], []
    for start in range(0, len(trees), TREES_TOGETHER):
        some = tuple(trees[start : start + TREES_TOGETHER])
        packed, content = pack(_check_size(msgspec.msgpack.encode(some)), compressor)
        of_trees.append(Trees(packed, span_of(some)))
        contents.append(content)
    return tuple(of_trees), contents


def _batches(events: Iterable[LoggedEvent]) -> Iterator[list[tuple[LoggedEvent, bytes]]]:
    """Yield the events and their lines, as many at a time as one frame holds."""
    batch: list[tuple[LoggedEvent, bytes]] = []
    size, before = 0, 0
    for event in events:
        assert event.position > before, f"position {event.position} comes after {before}"
        before = event.position
        line = line_of(event)
        if len(line) > FRAME_BYTES_MOST - FRAME_BYTES:
            raise ArchiveNotWritten(f"the event at {event.position} is too large for an archive")
        batch.append((event, line))
        size += len(line)
        if len(batch) == FRAME_EVENTS or size >= FRAME_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _frame(packed: Packed, events: Sequence[LoggedEvent]) -> Frame:
    return Frame(
        packed.length,
        packed.size,
        packed.digest,
        len(events),
        events[0].position,
        events[-1].position,
        min(event.leaf_index for event in events),
        max(event.leaf_index for event in events),
    )


def _check_size(part: bytes) -> bytes:
    if len(part) > INDEX_BYTES_MOST:
        raise ArchiveNotWritten("the index of an archive cannot hold so much")
    return part


@contextmanager
def _removing_on_error(path: Path) -> Iterator[None]:
    """Remove the file if it could not be made durable."""
    try:
        yield
    except OSError:
        _remove(path)
        raise


def _remove(path: Path) -> None:
    """Remove the file if possible; if it is not, an error was raised already."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
