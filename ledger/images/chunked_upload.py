"""An image that arrives in chunks: in any order, over several connections, across restarts.

The bytes are collected in a file of their own; a journal beside it says which chunks are complete.
Order for each chunk: its bytes are written and synced, then its line in the journal. So a chunk
that the journal names survives a crash, and one that a crash cut short never counts.

Several processes may use the files, but only one takes chunks in at a time: it holds the journal's
lock while any chunk is on its way, and chunks that are sent to another process are refused.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.domain.errors import Refusal
from ledger.domain.errors.store import ConcurrentChange
from ledger.domain.errors.uploads import ChunkMisfit, ChunkPresent, UploadGone
from ledger.images.chunk_layout import Chunking, ChunkMap, Extent, Place
from ledger.images.errors import full_pool_errors
from ledger.images.files import publish, remove, sync_directory
from ledger.images.incoming_file import IncomingFile, RequireRoom, unlimited
from ledger.images.journal import ChunkJournal
from ledger.images.regular_files import is_there, open_regular, regular_file
from ledger.images.sparse import SparseWriter


class ChunkedUpload:
    """The chunks of one drive's image. Its methods may be called from different threads.

    Every method raises PoolFull if there is no room and lets other OSErrors pass.
    """

    def __init__(
        self, path: Path, journal: Path, size: int, require_room: RequireRoom = unlimited
    ) -> None:
        """Open nothing: `find` finds what an earlier process left. `size` is the drive's, in bytes.

        Files are made with the first chunk that is received, not before. `require_room` raises
        PoolFull before what must stay free in the pool is taken.
        """
        self._path = path
        self.require_room = require_room
        self._journal = ChunkJournal(journal)
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._gone = False
        self._published = False
        self._incoming: dict[int, IncomingChunk] = {}
        self._users = 0  # of the journal's lock, for all of which one descriptor is enough
        self._locked_fd = -1
        self._chunks = ChunkMap(size)

    @property
    def size(self) -> int:
        return self._chunks.size

    @property
    def complete(self) -> bool:
        return self._chunks.complete

    def find(self) -> None:
        """Find which chunks are there by now, from earlier processes or others."""
        with self._lock:
            self._read()

    def has(self, number: int, chunking: Chunking) -> bool:
        """Whether the chunk is there. Raises `ChunkMisfit`, `ChunkingChanged`."""
        with self._lock:
            self._read()
            self._place(number, chunking)  # raises if it does not fit
            return self._chunks.has(number)

    def extent(self, number: int, chunking: Chunking) -> Extent:
        """Return where the chunk lies. Raises `ChunkMisfit`, `ChunkingChanged`."""
        with self._lock:
            return self._place(number, chunking).extent

    def receive(self, number: int, chunking: Chunking) -> "IncomingChunk":
        """Begin to take in a chunk; another client that is sending the same one is cut off.

        Raises `ChunkPresent`, `ChunkMisfit`, `ChunkingChanged`, `ConcurrentChange` while another
        process takes chunks in, and `UploadGone` once discarded.
        """
        while True:
            with self._lock, full_pool_errors():
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

        Repeating it changes nothing. The journal stays, for `discard`. Raises `UploadGone`, and
        `ConcurrentChange` while another process takes chunks in.
        """
        with self._publishing:
            if self._gone:
                raise UploadGone
            if self._published:
                return
            with self._journal_locked():
                self._publish(image)

    def _publish(self, image: Path) -> None:
        if is_there(image):
            sync_directory(image.parent)  # its process may have died before the name was on disk
            return
        total_size = self._chunks.total_size
        assert self.complete
        assert total_size is not None
        with full_pool_errors(), regular_file(self._path, os.O_WRONLY) as fd:
            os.ftruncate(fd, total_size)  # cuts off what a crash left beyond the end
            os.ftruncate(fd, self.size)
        publish(self._path, image)
        self._published = True

    def discard(self) -> None:
        """Remove the files, but not an image that was published; nothing more can be received."""
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
        """Note a chunk whose bytes are durable; return whether all chunks are there now.

        Raises `UploadGone`.
        """
        number, chunking, _ = chunk.place
        try:
            self._journal.append(chunking, number)
        except FileNotFoundError:
            raise UploadGone from None
        with self._lock:
            if self._gone:
                raise UploadGone
            self._chunks.add(number, chunking)
            del self._incoming[number]
            self._unlock_journal()
            return self.complete

    def forget(self, chunk: "IncomingChunk") -> None:
        """Note that the chunk is not being received any more."""
        number = chunk.place.number
        with self._lock:
            if self._incoming.get(number) is chunk:
                del self._incoming[number]
                self._unlock_journal()

    @contextmanager
    def _journal_locked(self) -> Iterator[None]:
        with self._lock:
            self._lock_journal()
        try:
            yield
        finally:
            with self._lock:
                self._unlock_journal()

    # With `_lock`

    def _lock_journal(self) -> None:
        """Keep other processes out, then read what they did. Raises `ConcurrentChange`."""
        if not self._users:
            fd = self._journal.lock()
            try:
                self._read()
                self._journal.cut_torn_end()
            except BaseException:
                os.close(fd)  # which unlocks it
                raise
            self._locked_fd = fd
        self._users += 1

    def _unlock_journal(self) -> None:
        self._users -= 1
        if not self._users:
            os.close(self._locked_fd)

    def _read(self) -> None:
        for chunking, number in self._journal.read():
            self._chunks.add(number, chunking)

    def _place(self, number: int, chunking: Chunking) -> Place:
        others = [each.place for other, each in self._incoming.items() if other != number]
        return self._chunks.place(number, chunking, others)

    def _free_place(self, number: int, chunking: Chunking) -> Place:
        place = self._place(number, chunking)
        if self._chunks.has(number):
            raise ChunkPresent
        return place

    def _begin(self, number: int, chunking: Chunking) -> "IncomingChunk":
        self._lock_journal()
        try:
            place = self._free_place(number, chunking)
            if self._chunks.empty and not self._incoming:
                self._create_files()
            chunk = IncomingChunk(self, self._path, place)
        except BaseException:
            self._unlock_journal()
            raise
        self._incoming[number] = chunk
        return chunk

    def _create_files(self) -> None:
        """Make both files, empty; a crash may have left chunks in them that do not count."""
        with regular_file(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self._journal.create()
        sync_directory(self._path.parent)


class IncomingChunk(IncomingFile):
    """Takes in one chunk; nothing of it counts before `finish`.

    `write` and `finish` raise `ConcurrentChange` when another client has begun to send the chunk,
    `UploadGone` once the drive is deleted, and ValueError once finished or aborted.
    """

    def __init__(self, upload: ChunkedUpload, path: Path, place: Place) -> None:
        """Made by `ChunkedUpload.receive` and nowhere else."""
        self.place = place
        self._upload = upload
        try:
            fd = open_regular(path, os.O_WRONLY)
        except FileNotFoundError:  # the drive was deleted meanwhile, and its files with it
            raise UploadGone from None
        # An earlier attempt at this chunk may have left some of it.
        writer = SparseWriter(fd, place.extent.offset, over=True)
        over = ValueError(f"chunk {place.number} is already finished or aborted: {path}")
        super().__init__(fd, writer, upload.require_room, over)

    def finish(self) -> bool:
        """Make the chunk durable and note it; return whether all chunks are there now.

        Order: written, synced, noted in the journal, closed. Raises `ChunkMisfit` where bytes are
        missing.
        """
        with self._lock, full_pool_errors():
            fd = self._open_fd()
            if self._received < self.place.extent.length:
                raise self._misfit(f"only {self._received}")
            self._writer.flush()
            os.fdatasync(fd)
            complete = self._upload.keep(self)
            self._close()
            return complete

    def give_way(self, refusal: Refusal) -> None:
        """Abort, and answer further calls with the refusal."""
        with self._lock:
            self._over = refusal
        self.abort()

    def _check_length(self, count: int) -> None:
        if self._received + count > self.place.extent.length:
            raise self._misfit("more")

    def _discard(self) -> None:
        self._upload.forget(self)

    @property
    def _received(self) -> int:
        return self._writer.end - self.place.extent.offset

    def _misfit(self, came: str) -> ChunkMisfit:
        return ChunkMisfit(f"the chunk has {self.place.extent.length} bytes; {came} came")
