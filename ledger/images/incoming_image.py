"""An image that arrives as one stream of bytes."""

import os
from pathlib import Path

from ledger.images.errors import full_pool_errors
from ledger.images.files import remove, sync_directory
from ledger.images.incoming_file import IncomingFile, RequireRoom, unlimited
from ledger.images.regular_files import open_regular
from ledger.images.sparse import SparseWriter


class IncomingImage(IncomingFile):
    """Collects an upload in a file of its own, which `abort` removes."""

    def __init__(self, path: Path, require_room: RequireRoom = unlimited) -> None:
        """Create the file; FileExistsError where another upload has it, or left it in a crash."""
        self._path = path
        with full_pool_errors():
            fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        over = ValueError(f"already finished or aborted: {path}")
        super().__init__(fd, SparseWriter(fd, 0, over=False), require_room, over)

    @property
    def received_bytes(self) -> int:
        return self._writer.end

    def finish(self, size: int) -> None:
        """Extend the image with a hole to `size` bytes and make it durable.

        Order: written, extended, synced, closed, directory synced. ValueError where more than
        `size` bytes came, or once finished or aborted.
        """
        with self._lock, full_pool_errors():
            fd = self._open_fd()
            if self.received_bytes > size:
                raise ValueError(f"{self.received_bytes} bytes came, more than {size}")
            self._writer.flush()
            os.ftruncate(fd, size)
            os.fsync(fd)
            sync_directory(self._path.parent)
            self._close()

    def _discard(self) -> None:
        remove(self._path)
