"""Bytes that arrive as a stream, and the file they go to."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from ledger.images.errors import full_pool_errors
from ledger.images.sparse import SparseWriter

RequireRoom = Callable[[], None]


def unlimited() -> None:
    """Require no room beyond what the file system has."""


class IncomingFile(ABC):
    """Takes in a stream of bytes; whole blocks of zeros become holes.

    Used in a ``with``, it is aborted on the way out unless it was finished. Its methods may be
    called from different threads: one that comes during another waits for it. Every method raises
    PoolFull if there is no room and lets other OSErrors pass; after either, abort.
    """

    def __init__(
        self, fd: int, writer: SparseWriter, require_room: RequireRoom, over: Exception
    ) -> None:
        """`require_room` raises PoolFull before what must stay free is taken.

        `over` is raised by calls after the end.
        """
        self._fd: int | None = fd
        self._require_room = require_room
        self._writer = writer
        self._over = over
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append `data`, which is not durable before `finish`."""
        with self._lock, full_pool_errors():
            self._open_fd()
            self._check_length(len(data))
            self._require_room()
            self._writer.write(data)

    def abort(self) -> None:
        """Leave nothing behind. Does nothing once finished or aborted."""
        with self._lock:
            if self._fd is not None:
                try:
                    self._close()
                finally:
                    self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    def _check_length(self, count: int) -> None:  # noqa: B027 - most have room for any number
        """Raise an error if so many more bytes are too many."""

    @abstractmethod
    def _discard(self) -> None:
        """Leave nothing behind of what was written; the file is closed."""

    def _open_fd(self) -> int:
        if self._fd is None:
            raise self._over
        return self._fd

    def _close(self) -> None:
        fd = self._open_fd()
        self._fd = None
        os.close(fd)
