"""Read a part file back from the disk and compare it with its source."""

import os
import threading
from collections.abc import Iterator

from ledger.images.errors import CopyStopped, VerificationFailed
from ledger.images.extents import data_extents

READ_BYTES = 1024 * 1024
_ZEROS = bytes(READ_BYTES)


def verify_part(
    source_fd: int, part_fd: int, *, source_size: int, size: int, stop: threading.Event
) -> None:
    """Compare a synced part file of `size` bytes with its source.

    The part must hold the source's data, and read as zeros wherever the source has a hole or has
    ended. Its pages are dropped from the cache first (a hint: the kernel may keep some), so that
    the disk is read and not what we meant to write.

    VerificationFailed where they differ, CopyStopped when `stop` is set meanwhile; OSErrors pass.
    """
    os.posix_fadvise(part_fd, 0, 0, os.POSIX_FADV_DONTNEED)
    found = os.fstat(part_fd).st_size
    if found != size:
        raise VerificationFailed(f"the part file has {found} bytes, not {size}")
    hole = 0
    for offset, length in data_extents(source_fd, 0, source_size):
        _verify_hole(part_fd, hole, offset, stop)
        _verify_extent(source_fd, part_fd, offset, length, stop)
        hole = offset + length
    _verify_hole(part_fd, hole, size, stop)


def _verify_extent(
    source_fd: int, part_fd: int, offset: int, length: int, stop: threading.Event
) -> None:
    for at, count in _pieces(offset, length, stop):
        if os.pread(source_fd, count, at) != os.pread(part_fd, count, at):
            raise VerificationFailed(f"source and part differ within {count} bytes at {at}")


def _verify_hole(part_fd: int, start: int, end: int, stop: threading.Event) -> None:
    for offset, length in data_extents(part_fd, start, end):
        for at, count in _pieces(offset, length, stop):
            if not _ZEROS.startswith(os.pread(part_fd, count, at)):
                raise VerificationFailed(f"not all zeros in a hole, within {count} bytes at {at}")


def _pieces(offset: int, length: int, stop: threading.Event) -> Iterator[tuple[int, int]]:
    end = offset + length
    for at in range(offset, end, READ_BYTES):
        if stop.is_set():
            raise CopyStopped("stopped while verifying")
        yield at, min(READ_BYTES, end - at)
