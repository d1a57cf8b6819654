"""An image that arrives as a stream of bytes."""

import os
import threading
from pathlib import Path
from typing import Self

from ledger.images.errors import full_pool_named
from ledger.images.files import IMAGE_MODE, remove, sync_directory
from ledger.images.sparse import SparseWriter


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
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with full_pool_named():
            fd = os.open(path, flags, IMAGE_MODE)
        self._fd: int | None = fd
        self._writer = SparseWriter(fd, 0, over=False)

    @property
    def received_bytes(self) -> int:
        return self._writer.end

    def write(self, data: bytes) -> None:
        """Append `data`; not durable before finish. ValueError once finished or aborted."""
        with self._lock, full_pool_named():
            self._open_fd()
            self._writer.write(data)

    def finish(self, size: int) -> None:
        """Extend the image with a hole to `size` bytes and make it durable.

        Order: written, extended, synced, closed, directory synced. ValueError where more than
        `size` bytes came, or once finished or aborted.
        """
        with self._lock, full_pool_named():
            fd = self._open_fd()
            if self.received_bytes > size:
                raise ValueError(f"{self.received_bytes} bytes came, more than {size}")
            self._writer.flush()
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
