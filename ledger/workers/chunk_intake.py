"""Uploads in chunks: which chunks of a drive's image are there, and the drive once all are.

A drive waits for its chunks as long as its owner likes, also across restarts. The one that was
missing makes the image and the drive ready; where a crash or a full pool comes between, the next
start does, or whoever asks for a chunk again.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.commands import MarkDriveReady
from ledger.domain.errors import Busy, ChunkPresent, DriveBusy, DriveNotFound, NotUploading
from ledger.images import (
    ChunkedUpload,
    Chunking,
    IncomingChunk,
    Pool,
    PoolMissing,
    remove,
)
from ledger.store.writer import Caller
from ledger.workers.blocks import gathered

_CHUNKS = Caller("worker:chunks", "")


class ChunkIntake:
    """Takes chunks in. Its methods may be called from different threads."""

    def __init__(self, ledger: Ledger, pools: Mapping[str, Pool]) -> None:
        self._ledger = ledger
        self._pools = pools
        self._lock = threading.Lock()
        self._uploads: dict[str, ChunkedUpload] = {}

    async def present(self, drive: str, number: int, chunking: Chunking) -> bool:
        """Whether the chunk is there; of a drive that is ready all are.

        Raises `DriveNotFound`, `NotUploading`, and what `ChunkedUpload.has` raises.
        """
        return await asyncio.to_thread(self._present, drive, number, chunking)

    async def receive(
        self,
        drive: str,
        number: int,
        chunking: Chunking,
        stream: AsyncIterator[bytes],
        *,
        length: int | None = None,
    ) -> None:
        """Takes in a chunk; it is durable then, and the drive ready if it was the last one missing.

        Where the total size is unsaid, the `length` of the stream may tell it. Raises `PoolFull`,
        `DriveNotFound`, `NotUploading`, and what `ChunkedUpload` and `IncomingChunk` raise; then,
        and when cancelled, the chunk is not there, unless it was whole already.
        """
        upload = await asyncio.to_thread(self._open, drive)
        if upload is None:
            raise ChunkPresent
        if length is not None:
            chunking = chunking.with_total_from(number, length, upload.size)
        beginning = asyncio.to_thread(self._begin, drive, upload, number, chunking)
        async with _receiving(asyncio.create_task(beginning)) as incoming:
            async for block in gathered(stream):
                await asyncio.to_thread(incoming.write, block)
            await asyncio.to_thread(self._finish, drive, incoming)

    def complete(self, drive: str) -> None:
        """If all chunks are there, makes them the image, and the drive ready.

        Done again, or by two at once, it changes nothing more. Raises `PoolFull`, OSError, and
        `DriveNotFound` or `UploadGone` once the drive is deleted.
        """
        upload = self._open(drive)
        if upload is None or not upload.complete:
            return
        pool = self._pools[self._uploading(drive).pool]
        upload.publish(pool.image(drive))
        with suppress(DriveBusy):  # ready already: another did the same
            self._ledger.execute_blocking(MarkDriveReady(drive), _CHUNKS)
        with self._lock:
            self._uploads.pop(drive, None)
        remove(pool.chunks(drive))

    def are_coming(self) -> bool:
        """Whether any upload has begun here and not ended."""
        with self._lock:  # one that begins just now has looked whether its drive is deleted
            return bool(self._uploads)

    def discard(self, drive: str) -> None:
        """Ends what is under way for a drive that is deleted, and removes its chunks."""
        with self._lock:
            upload = self._uploads.pop(drive, None)
        if upload is not None:
            upload.discard()

    def _present(self, drive: str, number: int, chunking: Chunking) -> bool:
        upload = self._open(drive)
        if upload is None:
            return True
        there = upload.has(number, chunking)
        if upload.complete:
            self.complete(drive)
        return there

    def _begin(
        self, drive: str, upload: ChunkedUpload, number: int, chunking: Chunking
    ) -> IncomingChunk:
        try:
            return upload.receive(number, chunking)
        except ChunkPresent:
            self.complete(drive)
            raise

    def _finish(self, drive: str, incoming: IncomingChunk) -> None:
        if incoming.finish():
            self.complete(drive)

    def _open(self, drive: str) -> ChunkedUpload | None:
        """What there is of the drive's image; None once that is complete."""
        # Locked from the look at the drive on: a `discard` comes before it, or finds the upload.
        with self._lock:
            found = self._uploading(drive)
            if found.ready:
                return None
            if drive not in self._uploads:
                if found.pool not in self._pools:
                    raise PoolMissing(f"pool {found.pool} is not configured")
                files, size = self._pools[found.pool], found.definition.size
                self._uploads[drive] = ChunkedUpload(files.upload(drive), files.chunks(drive), size)
            return self._uploads[drive]

    def _uploading(self, uuid: str) -> Drive:
        drive = self._ledger.drive(uuid)
        if drive is None or drive.deleted:
            raise DriveNotFound(uuid)
        if drive.origin != "chunked":
            raise NotUploading(uuid)
        if drive.pool not in self._pools:
            raise DriveBusy(uuid, Busy.POOL_ELSEWHERE)
        return drive


@asynccontextmanager
async def _receiving(beginning: asyncio.Task[IncomingChunk]) -> AsyncIterator[IncomingChunk]:
    """The chunk, aborted on the way out unless it was finished, also if cancelled on the way in."""
    try:
        yield await asyncio.shield(beginning)
    except BaseException:
        await asyncio.shield(_abort(beginning))
        raise


async def _abort(beginning: asyncio.Task[IncomingChunk]) -> None:
    with suppress(Exception):  # if it could not begin, its caller is told
        incoming = await beginning
        await asyncio.to_thread(incoming.abort)
