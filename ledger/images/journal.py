"""The journal of an upload in chunks: which of them are complete and durable.

Each has a line `<chunk size> <total size or -> <number>`, which says all that was known then. A
line that a crash has torn, and anything after it, had not been acknowledged to any client.
"""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from ledger.domain.errors.store import ConcurrentChange
from ledger.images.chunk_layout import Chunking
from ledger.images.files import try_lock
from ledger.images.regular_files import open_regular, regular_file
from ledger.images.transfer import write_all

_LINE = re.compile(rb"([1-9][0-9]{0,17}) (-|[1-9][0-9]{0,17}) ([0-9]{1,18})\n")


class ChunkJournal:
    """The journal in one file; its methods may be called from different threads. OSErrors pass."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._end = 0

    def lock(self) -> int:
        """Lock the journal against other processes until the returned descriptor is closed.

        The file is made where it is missing. Raises `ConcurrentChange`.
        """
        fd = open_regular(self.path, os.O_RDWR | os.O_CREAT)
        if not try_lock(fd):
            os.close(fd)
            raise ConcurrentChange
        return fd

    def read(self) -> Iterator[tuple[Chunking, int]]:
        """Yield what was written since the last time, each with the number of the chunk.

        Nothing where there is no file.
        """
        try:
            with regular_file(self.path, os.O_RDONLY) as fd:
                text = os.pread(fd, max(0, os.fstat(fd).st_size - self._end), self._end)
                if text:
                    os.fdatasync(fd)  # its writer may not have done so yet
        except FileNotFoundError:
            return
        at = 0
        while found := _LINE.match(text, at):
            self._end += found.end() - at
            at = found.end()
            chunk_size, total_size, number = found.groups()
            total = None if total_size == b"-" else int(total_size)
            yield Chunking(int(chunk_size), total), int(number)

    def cut_torn_end(self) -> None:
        """Cut off a torn line and all that follows, so that no new line completes it.

        The caller has locked the journal and read it.
        """
        with regular_file(self.path, os.O_WRONLY) as fd:
            if self._end < os.fstat(fd).st_size:
                os.ftruncate(fd, self._end)
                os.fsync(fd)

    def create(self) -> None:
        """Make the file, empty; its name is not durable yet."""
        with regular_file(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self._end = 0

    def append(self, chunking: Chunking, number: int) -> None:
        """Note, durably, that a chunk is durable.

        After an error the next process may or may not find the line. FileNotFoundError where the
        journal was removed.
        """
        line = b"%d %s %d\n" % (chunking.chunk_size, _total(chunking.total_size), number)
        # Opened before it is written to, so that this sync learns of a failure to write it back.
        with regular_file(self.path, os.O_WRONLY) as fd:
            with self._lock:
                write_all(fd, line, self._end)
                self._end += len(line)
            os.fdatasync(fd)


def _total(total_size: int | None) -> bytes:
    return b"-" if total_size is None else b"%d" % total_size
