"""The journal of an upload in chunks: which of them are whole and durable.

A line for each, which says all that is known with it: `<chunk size> <total size or -> <number>`.
A line that was torn by a crash, and whatever came after it, had not been promised to anybody.
"""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from ledger.domain.errors import ConcurrentChange
from ledger.images.chunk_layout import Chunking
from ledger.images.files import IMAGE_MODE, hold, opened
from ledger.images.transfer import write_all

_LINE = re.compile(rb"([1-9][0-9]{0,17}) (-|[1-9][0-9]{0,17}) ([0-9]{1,18})\n")


class ChunkJournal:
    """One such file; its methods may be called from different threads. OSErrors pass."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or made yet."""
        self.path = path
        self._lock = threading.Lock()
        self._end = 0

    def claim(self) -> int:
        """A descriptor; until it is closed no other process can claim the journal.

        The file is made where it is missing. Raises `ConcurrentChange`.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, IMAGE_MODE)
        if not hold(fd):
            os.close(fd)
            raise ConcurrentChange
        return fd

    def read(self) -> Iterator[tuple[Chunking, int]]:
        """What other processes wrote since the last time, each with the number of the chunk.

        Nothing where no file is.
        """
        try:
            with opened(self.path, os.O_RDONLY) as fd:
                text = os.pread(fd, max(0, os.fstat(fd).st_size - self._end), self._end)
                if text:
                    os.fdatasync(fd)  # whoever wrote it may not have come to that yet
        except FileNotFoundError:
            return
        at = 0
        while found := _LINE.match(text, at):
            self._end += found.end() - at
            at = found.end()
            chunk_size, total_size, number = found.groups()
            total = None if total_size == b"-" else int(total_size)
            yield Chunking(int(chunk_size), total), int(number)

    def mend(self) -> None:
        """Cuts off what is not whole, with all that follows, so that no new line completes it.

        By whoever has claimed the journal, and has read it.
        """
        with opened(self.path, os.O_WRONLY) as fd:
            if self._end < os.fstat(fd).st_size:
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
