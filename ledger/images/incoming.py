"""An image that arrives as a stream of bytes."""

import os
import threading
from pathlib import Path
from typing import Self

from ledger.images.errors import full_pool_named
from ledger.images.files import IMAGE_MODE, remove, sync_directory
from ledger.images.moving import write_all

BLOCK_BYTES = 64 * 1024
_ZERO_BLOCK = bytes(BLOCK_BYTES)


class IncomingImage:
    """Collects an upload in a file of its own; whole blocks of zeros become holes.

    Used in a ``with``, it is aborted on the way out unless it was finished. Its methods may be
    called from different threads: one that comes during another waits for it. Every method raises
    PoolFull for want of room and lets other OSErrors pass; after either, abort.
    """

    def __init__(self, path: Path) -> None:
        """Create the file; FileExistsError where another upload has it, or left it in a crash."""
        self._path = path
        self._lock = threading.Lock()
        self._waiting = bytearray()  # less than one block between two calls
        self._offset = 0  # where `_waiting` belongs; always a multiple of a block
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with full_pool_named():
            self._fd: int | None = os.open(path, flags, IMAGE_MODE)

    @property
    def received_bytes(self) -> int:
        return self._offset + len(self._waiting)

    def write(self, data: bytes) -> None:
        """Append `data`; not durable before finish. ValueError once finished or aborted."""
        with self._lock, full_pool_named():
            fd = self._open_fd()
            self._waiting += data
            whole = len(self._waiting) // BLOCK_BYTES * BLOCK_BYTES
            self._write_blocks(fd, whole)
            del self._waiting[:whole]
            self._offset += whole

    def finish(self, size: int) -> None:
        """Extend the image with a hole to `size` bytes and make it durable.

        Order: written, extended, synced, closed, directory synced. ValueError where more than
        `size` bytes came, or once finished or aborted.
        """
        with self._lock, full_pool_named():
            fd = self._open_fd()
            if self.received_bytes > size:
                raise ValueError(f"{self.received_bytes} bytes came, more than {size}")
            if any(self._waiting):
                write_all(fd, self._waiting, self._offset)
            os.ftruncate(fd, size)
            os.fsync(fd)
            sync_directory(self._path.parent)
            self._close()

    def abort(self) -> None:
        """Leave no file behind. Does nothing once finished or aborted."""
        with self._lock:
            if self._fd is not None:
                try:
                    self._close()
                finally:
                    remove(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    def _open_fd(self) -> int:
        if self._fd is None:
            raise ValueError(f"already finished or aborted: {self._path}")
        return self._fd

    def _close(self) -> None:
        fd = self._open_fd()
        self._fd = None
        os.close(fd)

    def _write_blocks(self, fd: int, end: int) -> None:
        """Write the blocks of `_waiting` below `end`, runs of them at once, without the zeros."""
        run = 0
        for at in range(0, end, BLOCK_BYTES):
            if self._waiting.startswith(_ZERO_BLOCK, at):
                self._write_run(fd, run, at)
                run = at + BLOCK_BYTES
        self._write_run(fd, run, end)

    def _write_run(self, fd: int, start: int, end: int) -> None:
        with memoryview(self._waiting) as waiting, waiting[start:end] as run:
            write_all(fd, run, self._offset + start)
