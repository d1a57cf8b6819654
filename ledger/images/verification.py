"""Read a part file back from the disk and compare it with its source."""

import os
import threading
from collections.abc import Iterator

from ledger.images.errors import CopyStopped, VerificationFailed
from ledger.images.extents import data_extents

READ_BYTES = 1024 * 1024
STEP_BYTES = 8 * READ_BYTES
_ZEROS = bytes(READ_BYTES)


def verify_copy(
    source_fd: int, part_fd: int, *, source_size: int, size: int, stop: threading.Event
) -> Iterator[int]:
    """Compare a synced part file of `size` bytes with its source.

    Yield how many bytes were compared so far, after each `STEP_BYTES`.

    The part must hold the source's data, and read as zeros wherever the source has a hole or has
    ended. Its pages are dropped from the cache first (a hint: the kernel may keep some), so that
    the disk is read and not what we meant to write.

    VerificationFailed where they differ, CopyStopped when `stop` is set meanwhile; OSErrors pass.
    """
    os.posix_fadvise(part_fd, 0, 0, os.POSIX_FADV_DONTNEED)
    found = os.fstat(part_fd).st_size
    if found != size:
        raise VerificationFailed(f"the part file has {found} bytes, not {size}")
    compared, due = 0, STEP_BYTES
    for count in _compare(source_fd, part_fd, source_size, size):
        compared += count
        if stop.is_set():
            raise CopyStopped("stopped while verifying")
        if compared >= due:
            due = compared + STEP_BYTES
            yield compared


def _compare(source_fd: int, part_fd: int, source_size: int, size: int) -> Iterator[int]:
    """Yield how much was read and found right."""
    hole = 0
    for offset, length in data_extents(source_fd, 0, source_size):
        yield from _compare_hole(part_fd, hole, offset)
        yield from _compare_extent(source_fd, part_fd, offset, length)
        hole = offset + length
    yield from _compare_hole(part_fd, hole, size)


def _compare_extent(source_fd: int, part_fd: int, offset: int, length: int) -> Iterator[int]:
    for at, count in _pieces(offset, length):
        if os.pread(source_fd, count, at) != os.pread(part_fd, count, at):
            raise VerificationFailed(f"source and part differ within {count} bytes at {at}")
        yield count


def _compare_hole(part_fd: int, start: int, end: int) -> Iterator[int]:
    for offset, length in data_extents(part_fd, start, end):
        for at, count in _pieces(offset, length):
            if not _ZEROS.startswith(os.pread(part_fd, count, at)):
                raise VerificationFailed(f"not all zeros in a hole, within {count} bytes at {at}")
            yield count


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    end = offset + length
    for at in range(offset, end, READ_BYTES):
        yield at, min(READ_BYTES, end - at)
