"""The journal of an upload in chunks: which of them are whole and durable.

A line for each, which says all that is known with it: `<chunk size> <total size or -> <number>`.
A line that was torn by a crash, and whatever came after it, had not been promised to anybody.
"""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from ledger.images.chunking import Chunking
from ledger.images.files import opened
from ledger.images.moving import write_all

_LINE = re.compile(rb"([1-9][0-9]{0,17}) (-|[1-9][0-9]{0,17}) ([0-9]{1,18})\n")


class ChunkJournal:
    """One such file; its methods may be called from different threads. OSErrors pass."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or made yet."""
        self.path = path
        self._lock = threading.Lock()
        self._end = 0

    def read(self) -> Iterator[tuple[Chunking, int]]:
        """What an earlier process wrote, each with the number of the chunk; none where no file is.

        What is not whole is cut off with all that follows, so that no new line can make an old one
        count again.
        """
        text = self.path.read_bytes() if self.path.exists() else b""
        while found := _LINE.match(text, self._end):
            self._end = found.end()
            chunk_size, total_size, number = found.groups()
            total = None if total_size == b"-" else int(total_size)
            yield Chunking(int(chunk_size), total), int(number)
        if self._end < len(text):
            with opened(self.path, os.O_WRONLY) as fd:
                os.ftruncate(fd, self._end)
                os.fsync(fd)

    def create(self) -> None:
        """Make the file, empty; its name is not durable yet."""
        with opened(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self._end = 0

    def append(self, chunking: Chunking, number: int) -> None:
        """Say that a chunk is durable; that is durable on return.

        After an error it may or may not be found by the next process. FileNotFoundError where the
        journal was removed.
        """
        line = b"%d %s %d\n" % (chunking.chunk_size, _text(chunking.total_size), number)
        # Opened before it is written to, so that a failure of writing it back is told to this sync.
        with opened(self.path, os.O_WRONLY) as fd:
            with self._lock:
                write_all(fd, line, self._end)
                self._end += len(line)
            os.fdatasync(fd)


def _text(total_size: int | None) -> bytes:
    return b"-" if total_size is None else b"%d" % total_size
