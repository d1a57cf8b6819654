"""Writes a stream of bytes so that whole blocks of zeros take no room."""

from ledger.images.extents import data_extents
from ledger.images.transfer import write_all

BLOCK_BYTES = 64 * 1024
_ZERO_BLOCK = bytes(BLOCK_BYTES)


class SparseWriter:
    """Writes into an open file, from an offset on; whole blocks of zeros become holes.

    With `over`, zeros overwrite data that the file may hold; without, the file is taken to be one
    hole. OSErrors pass; after one the writer cannot be used any more.
    """

    def __init__(self, fd: int, offset: int, *, over: bool) -> None:
        self._fd = fd
        self._over = over
        self._waiting = bytearray()  # less than one block between two calls
        self._offset = offset  # where `_waiting` belongs

    @property
    def end(self) -> int:
        """Where the next byte belongs."""
        return self._offset + len(self._waiting)

    def write(self, data: bytes) -> None:
        """Append `data`; the end may wait for the rest of its block."""
        self._waiting += data
        self._write_blocks(len(self._waiting) // BLOCK_BYTES * BLOCK_BYTES)

    def flush(self) -> None:
        """Write what waits; nothing may be written after it."""
        if any(self._waiting):
            self._write_run(0, len(self._waiting))
        else:
            self._skip(0, len(self._waiting))
        self._offset = self.end
        self._waiting.clear()

    def _write_blocks(self, end: int) -> None:
        """Write the blocks of `_waiting` below `end`, runs of them at once, without the zeros."""
        run = 0
        for at in range(0, end, BLOCK_BYTES):
            if self._waiting.startswith(_ZERO_BLOCK, at):
                self._write_run(run, at)
                run = at + BLOCK_BYTES
                self._skip(at, run)
        self._write_run(run, end)
        del self._waiting[:end]
        self._offset += end

    def _write_run(self, start: int, end: int) -> None:
        with memoryview(self._waiting) as waiting, waiting[start:end] as run:
            write_all(self._fd, run, self._offset + start)

    def _skip(self, start: int, end: int) -> None:
        """Leave a hole, or overwrite data with zeros."""
        if self._over:
            for at, length in data_extents(self._fd, self._offset + start, self._offset + end):
                write_all(self._fd, bytes(length), at)
