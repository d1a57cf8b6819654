"""An image that arrives in chunks: in any order, over several connections, across restarts.

The bytes are collected in a file of their own, a journal beside it says which chunks are whole.
Order for each chunk: its bytes are written and synced, then its line in the journal. So a chunk
that is said to be there survives a crash, and one that was torn by it never counts.

Several processes may have the files, but one at a time takes chunks in: as long as any is on its
way it has claimed the journal, and chunks that are sent to another one are refused.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ledger.domain.errors import (
    ChunkingChanged,
    ChunkMisfit,
    ChunkPresent,
    ConcurrentChange,
    Refusal,
    UploadGone,
)
from ledger.images.chunk_layout import Chunking, Extent
from ledger.images.errors import full_pool_named
from ledger.images.files import opened, publish, remove, sync_directory
from ledger.images.journal import ChunkJournal
from ledger.images.sparse import SparseWriter


class ChunkedUpload:
    """The chunks of one drive's image. Its methods may be called from different threads.

    Every method raises PoolFull for want of room and lets other OSErrors pass.
    """

    def __init__(self, path: Path, journal: Path, size: int) -> None:
        """Find what an earlier process left in these files; `size` is the drive's, in bytes.

        Files are made with the first chunk that is received, not before.
        """
        self.size = size
        self._path = path
        self._journal = ChunkJournal(journal)
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._gone = False
        self._published = False
        self._incoming: dict[int, IncomingChunk] = {}
        self._claims = 0  # of the journal, for all of which one descriptor is enough
        self._claim_fd = -1
        self._kept: Chunking | None = None  # what the chunks that are there say together
        self._there = bytearray()  # 1 for each of them
        self._how_many = 0
        self._read()

    @property
    def complete(self) -> bool:
        """Whether all chunks are there."""
        kept = self._kept
        if kept is None or kept.total_size is None:
            return False
        return self._how_many == kept.count(self.size)

    def has(self, number: int, chunking: Chunking) -> bool:
        """Whether the chunk is there. Raises `ChunkMisfit`, `ChunkingChanged`."""
        with self._lock:
            self._read()
            self._place(number, chunking)  # raises what is to be raised
            return self._is_there(number)

    def receive(self, number: int, chunking: Chunking) -> "IncomingChunk":
        """Begin to take in a chunk. Whoever is sending the same one has to give way.

        Raises `ChunkPresent`, `ChunkMisfit`, `ChunkingChanged`, `ConcurrentChange` while another
        process takes chunks in, and `UploadGone` once discarded.
        """
        while True:
            with self._lock, full_pool_named():
                if self._gone:
                    raise UploadGone
                self._place(number, chunking)  # refused before any file is made
                earlier = self._incoming.get(number)
                if earlier is None:
                    return self._begin(number, chunking)
            # Most likely its connection is dead, and nobody has noticed yet.
            earlier.give_way(ConcurrentChange())

    def publish(self, image: Path) -> None:
        """Give the complete upload the drive's size and the image's name, durably.

        Done again it changes nothing. The journal stays, for `discard`. Raises `UploadGone`, and
        `ConcurrentChange` while another process takes chunks in.
        """
        with self._publishing:
            if self._gone:
                raise UploadGone
            if self._published:
                return
            with self._claimed():
                self._publish(image)

    def _publish(self, image: Path) -> None:
        if image.exists():
            sync_directory(image.parent)  # of a process that died before its name was on disk
            return
        assert self.complete
        assert self._kept is not None
        assert self._kept.total_size is not None
        with full_pool_named(), opened(self._path, os.O_WRONLY) as fd:
            # What was torn beyond the end is cut off.
            os.ftruncate(fd, self._kept.total_size)
            os.ftruncate(fd, self.size)
        publish(self._path, image)
        self._published = True

    def discard(self) -> None:
        """Remove what there is, but for an image that was published; nothing can be received."""
        with self._lock:
            self._gone = True
            incoming = list(self._incoming.values())
        for chunk in incoming:
            chunk.give_way(UploadGone())
        with self._publishing:
            remove(self._journal.path)
            remove(self._path)

    # For the chunks

    def keep(self, chunk: "IncomingChunk") -> bool:
        """Note a chunk whose bytes are durable; whether all are there now. Raises `UploadGone`."""
        try:
            self._journal.append(chunk.chunking, chunk.number)
        except FileNotFoundError:
            raise UploadGone from None
        with self._lock:
            if self._gone:
                raise UploadGone
            self._note(chunk.chunking, chunk.number)
            del self._incoming[chunk.number]
            self._release()
            return self.complete

    def forget(self, chunk: "IncomingChunk") -> None:
        """The chunk is not being received any more."""
        with self._lock:
            if self._incoming.get(chunk.number) is chunk:
                del self._incoming[chunk.number]
                self._release()

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        with self._lock:
            self._claim()
        try:
            yield
        finally:
            with self._lock:
                self._release()

    # With the lock

    def _claim(self) -> None:
        """Keeps other processes out, after looking at what they did. Raises `ConcurrentChange`."""
        if not self._claims:
            self._claim_fd = self._journal.claim()
            self._read()
            self._journal.mend()
        self._claims += 1

    def _release(self) -> None:
        self._claims -= 1
        if not self._claims:
            os.close(self._claim_fd)

    def _read(self) -> None:
        for chunking, number in self._journal.read():
            self._note(chunking, number)

    def _begin(self, number: int, chunking: Chunking) -> "IncomingChunk":
        self._claim()
        try:
            together, extent = self._free_place(number, chunking)
            if self._kept is None and not self._incoming:
                self._lay_out()
            chunk = IncomingChunk(self, self._path, number, together, extent)
        except BaseException:
            self._release()
            raise
        self._incoming[number] = chunk
        return chunk

    def _place(self, number: int, chunking: Chunking) -> tuple[Chunking, Extent]:
        """Where the chunk belongs, by what is said now and by those there or on their way."""
        others = [each for each in self._incoming.values() if each.number != number]
        together = chunking
        for said in self._said(others):
            together = together.merged(said)
        extent = together.extent(number, self.size)
        # A total size that was not known before makes one of the chunks the last.
        last = together.count(self.size) - 1
        total_is_new = self._kept is not None and self._kept.total_size is None
        if total_is_new and together.total_size is not None and self._there.rfind(1) >= last:
            raise ChunkingChanged("a chunk that is there would be longer")
        if any(together.extent(each.number, self.size) != each.extent for each in others):
            raise ChunkingChanged("a chunk that is on its way would be another one")
        return together, extent

    def _free_place(self, number: int, chunking: Chunking) -> tuple[Chunking, Extent]:
        place = self._place(number, chunking)
        if self._is_there(number):
            raise ChunkPresent
        return place

    def _said(self, incoming: "list[IncomingChunk]") -> Iterator[Chunking]:
        if self._kept is not None:
            yield self._kept
        for chunk in incoming:
            yield chunk.chunking

    def _is_there(self, number: int) -> bool:
        return number < len(self._there) and self._there[number] == 1

    def _note(self, chunking: Chunking, number: int) -> None:
        self._kept = chunking if self._kept is None else self._kept.merged(chunking)
        if not self._there:
            self._there = bytearray(self._kept.count(self.size))
        self._how_many += 1 - self._there[number]
        self._there[number] = 1

    def _lay_out(self) -> None:
        """Make both files, empty, in place of what a crash left of chunks that do not count."""
        with opened(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self._journal.create()
        sync_directory(self._path.parent)


class IncomingChunk:
    """Takes in one chunk; whole blocks of zeros become holes.

    Used in a ``with``, it is aborted on the way out unless it was finished. Its methods may be
    called from different threads: one that comes during another waits for it. Every method raises
    PoolFull for want of room and lets other OSErrors pass; after either, abort.
    """

    def __init__(
        self, upload: ChunkedUpload, path: Path, number: int, chunking: Chunking, extent: Extent
    ) -> None:
        """Made by `ChunkedUpload.receive` and nowhere else."""
        self.number = number
        self.chunking = chunking
        self.extent = extent
        self._upload = upload
        self._lock = threading.Lock()
        self._over: Exception = ValueError(f"chunk {number} is already finished or aborted: {path}")
        try:
            self._fd: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # the drive was deleted meanwhile, and its files with it
            raise UploadGone from None
        # An earlier attempt at this chunk may have left something of it.
        self._writer = SparseWriter(self._fd, extent.offset, over=True)

    def write(self, data: bytes) -> None:
        """Append `data`; nothing of it counts before finish.

        Raises `ChunkMisfit` for more than belongs there, `ConcurrentChange` when somebody else has
        begun to send the chunk, `UploadGone`; ValueError once finished or aborted.
        """
        with self._lock, full_pool_named():
            self._open_fd()
            if self._received + len(data) > self.extent.length:
                raise self._misfit("more")
            self._writer.write(data)

    def finish(self) -> bool:
        """Make the chunk durable and say so; whether all chunks of the upload are there now.

        Order: written, synced, closed, noted in the journal. Raises what `write` raises, and
        `ChunkMisfit` also where bytes are missing.
        """
        with self._lock, full_pool_named():
            fd = self._open_fd()
            if self._received < self.extent.length:
                raise self._misfit(f"only {self._received}")
            self._writer.flush()
            os.fdatasync(fd)
            complete = self._upload.keep(self)
            self._close()
            return complete

    def abort(self) -> None:
        """Leave the chunk absent. Does nothing once finished or aborted."""
        with self._lock:
            if self._fd is not None:
                try:
                    self._close()
                finally:
                    self._upload.forget(self)

    def give_way(self, refusal: Refusal) -> None:
        """Abort, and answer further calls with the refusal."""
        with self._lock:
            self._over = refusal
        self.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    @property
    def _received(self) -> int:
        return self._writer.end - self.extent.offset

    def _misfit(self, came: str) -> ChunkMisfit:
        return ChunkMisfit(f"the chunk has {self.extent.length} bytes; {came} came")

    def _open_fd(self) -> int:
        if self._fd is None:
            raise self._over
        return self._fd

    def _close(self) -> None:
        fd = self._open_fd()
        self._fd = None
        os.close(fd)
