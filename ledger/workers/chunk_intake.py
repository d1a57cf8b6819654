"""Uploads in chunks: receives the chunks of a drive's image, and completes the drive.

A drive waits for its chunks as long as its owner likes, also across restarts. The last missing one
completes the image and makes the drive ready. If a crash or a full pool prevents that, the next
start does it, or the next request for a chunk.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.commands.drives import MarkDriveReady
from ledger.domain.errors.drives import Busy, DriveBusy, DriveNotFound
from ledger.domain.errors.uploads import ChunkPresent, NotUploading
from ledger.images.chunk_layout import Chunking, Extent
from ledger.images.chunked_upload import ChunkedUpload, IncomingChunk
from ledger.images.digests import sha256
from ledger.images.errors import ImageMissing, PoolMissing
from ledger.images.files import remove
from ledger.images.pools import Pool
from ledger.images.regular_files import regular_file
from ledger.store.writer import Caller
from ledger.workers.blocks import join_blocks
from ledger.workers.fair_turns import FairTurns
from ledger.workers.transfer_threads import TransferThreads

DIGESTS_AT_ONCE = 2
"""Others wait: the threads that make them also take in chunks."""
DIGEST_BYTES_MAX = 512 * 1024**2
"""Chunks with more bytes get no digest: it would take a thread for long."""
_CALLER = Caller("worker:chunks", "")

log = logging.getLogger(__name__)


class ChunkIntake:
    """Receives chunks. Its methods may be called from different threads."""

    def __init__(self, ledger: Ledger, pools: Mapping[str, Pool], threads: TransferThreads) -> None:
        self._ledger = ledger
        self._pools = pools
        self._threads = threads
        self._lock = threading.Lock()
        self._uploads: dict[str, ChunkedUpload] = {}
        self._digests = FairTurns(DIGESTS_AT_ONCE)

    async def has_chunk(self, drive: str, number: int, chunking: Chunking) -> bool:
        """Whether the chunk is there; a drive that is ready has all of them.

        Raises `DriveNotFound`, `NotUploading`, and what `ChunkedUpload.has` raises.
        """
        pool = await self._pool_of_upload(drive)
        return await self._threads.run(pool, partial(self._has_chunk, drive, number, chunking))

    async def receive(
        self,
        drive: str,
        number: int,
        chunking: Chunking,
        stream: AsyncIterator[bytes],
        *,
        length: int | None = None,
        on_kept: Callable[[], None] = lambda: None,
    ) -> None:
        """Receive a chunk durably; the last missing one makes the drive ready.

        A missing total size may follow from the `length` of the stream. Raises `PoolFull`,
        `DriveNotFound`, `NotUploading`, and what `ChunkedUpload` and `IncomingChunk` raise; then,
        and when cancelled, the chunk is not there, unless it was complete already or `on_kept` was
        called. It is called in another thread.
        """
        pool = await self._pool_of_upload(drive)
        upload = await self._threads.run(pool, partial(self._open, drive))
        if upload is None:
            raise ChunkPresent
        if length is not None:
            chunking = chunking.with_total_from(number, length, upload.size)
        incoming = await self._threads.run(
            pool,
            partial(self._begin, drive, upload, number, chunking),
            undo=lambda late: late.abort(),
        )
        try:
            async for block in join_blocks(stream):
                await self._threads.run(pool, partial(incoming.write, block))
            await self._threads.run(
                pool, partial(self._finish, drive, incoming, on_kept), lasting=True
            )
        except BaseException:
            await self._threads.clean_up(pool, incoming.abort)
            raise

    async def digest(
        self, drive: str, number: int, chunking: Chunking, *, length: int | None = None
    ) -> bytes | None:
        """Return the SHA-256 of a chunk that is there, as it reads from the disk.

        None for one of more than `DIGEST_BYTES_MAX`. Raises what `has_chunk` raises, `NotRegular`,
        `ImageMissing` and OSError.
        """
        found = await asyncio.to_thread(self._uploading_drive, drive)
        async with self._digests.turn(found.owner):
            return await self._threads.run(
                found.pool, partial(self._digest, drive, number, chunking, length), lasting=True
            )

    def complete_drive(self, drive: str) -> None:
        """If all chunks are there, make them the image and the drive ready.

        Repeated, or done by two at once, it changes nothing more. Raises `PoolFull`, OSError, and
        `DriveNotFound` or `UploadGone` once the drive is deleted.
        """
        upload = self._open(drive)
        if upload is None or not upload.complete:
            return
        pool = self._pool_of(drive)
        upload.publish(pool.image(drive))
        with suppress(DriveBusy):  # ready already: another process did the same
            self._ledger.execute_blocking(MarkDriveReady(drive), _CALLER)
        with self._lock:
            self._uploads.pop(drive, None)
        try:
            remove(pool.chunks(drive))
        except OSError as error:  # the drive is ready, whatever becomes of its journal
            log.warning("the journal of drive %s is left to the next start: %s", drive, error)

    def is_receiving(self) -> bool:
        """Whether any upload has begun here and not ended."""
        with self._lock:  # an upload that is beginning has checked whether its drive is deleted
            return bool(self._uploads)

    def discard(self, drive: str) -> None:
        """End what is under way for a deleted drive, and remove its chunks."""
        with self._lock:
            upload = self._uploads.pop(drive, None)
        if upload is not None:
            upload.discard()

    def _has_chunk(self, drive: str, number: int, chunking: Chunking) -> bool:
        upload = self._open(drive)
        if upload is None:
            return True
        there = upload.has(number, chunking)
        if upload.complete:
            self.complete_drive(drive)
        return there

    def _digest(
        self, drive: str, number: int, chunking: Chunking, length: int | None
    ) -> bytes | None:
        upload = self._open(drive)
        found = self._uploading_drive(drive)
        if length is not None:
            chunking = chunking.with_total_from(number, length, found.definition.size)
        if upload is None:
            extent = chunking.extent(number, found.definition.size)
        else:
            extent = upload.extent(number, chunking)
        if extent.length > DIGEST_BYTES_MAX:
            return None
        pool = self._pools[found.pool]
        for path in (pool.upload(drive), pool.image(drive)):  # which it becomes once complete
            with suppress(FileNotFoundError):
                return _sha256(path, extent)
        raise ImageMissing(f"the image of drive {drive} is gone")

    def _begin(
        self, drive: str, upload: ChunkedUpload, number: int, chunking: Chunking
    ) -> IncomingChunk:
        try:
            return upload.receive(number, chunking)
        except ChunkPresent:
            self.complete_drive(drive)
            raise

    def _finish(self, drive: str, incoming: IncomingChunk, on_kept: Callable[[], None]) -> None:
        is_last = incoming.finish()
        on_kept()
        if is_last:
            self.complete_drive(drive)

    def _open(self, drive: str) -> ChunkedUpload | None:
        """Return the drive's unfinished upload; None once the drive is ready."""
        # Locked before the drive is looked up: a `discard` comes before that, or finds the upload.
        with self._lock:
            found = self._uploading_drive(drive)
            if found.ready:
                return None
            if drive not in self._uploads:
                if found.pool not in self._pools:
                    raise PoolMissing(f"pool {found.pool} is not configured")
                files, size = self._pools[found.pool], found.definition.size
                self._uploads[drive] = ChunkedUpload(
                    files.upload(drive), files.chunks(drive), size, files.require_room
                )
            upload = self._uploads[drive]
        upload.find()  # without the lock: a pool that hangs must not hold up the uploads to others
        return upload

    async def _pool_of_upload(self, drive: str) -> str:
        return (await asyncio.to_thread(self._uploading_drive, drive)).pool

    def _pool_of(self, drive: str) -> Pool:
        return self._pools[self._uploading_drive(drive).pool]

    def _uploading_drive(self, uuid: str) -> Drive:
        drive = self._ledger.drive(uuid)
        if drive is None or drive.deleted:
            raise DriveNotFound(uuid)
        if drive.origin != "chunked":
            raise NotUploading(uuid)
        if drive.pool not in self._pools:
            raise DriveBusy(uuid, Busy.POOL_ELSEWHERE)
        return drive


def _sha256(path: Path, extent: Extent) -> bytes:
    with regular_file(path, os.O_RDONLY) as fd:
        return sha256(fd, extent.offset, extent.offset + extent.length)
