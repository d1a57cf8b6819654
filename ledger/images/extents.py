"""Where a sparse file holds data."""

import errno
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ledger.images.regular_files import regular_file

EXTENTS_MAX = 1000
"""The most extents that are added up, which takes about a millisecond."""
STAT_BLOCK_BYTES = 512

_UNSUPPORTED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})


def data_extents(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each extent of data within [start, end), in order.

    Everything between is holes. One extent for all where the file system cannot tell. Moves the
    descriptor's file offset. The file system may count as data what reads as zeros, and may change
    its mind about that between two calls.
    """
    position = start
    while position < end:
        begin = _next_data(fd, position, end)
        if begin >= end:
            return
        position = _next_hole(fd, begin, end)
        yield begin, position - begin


def data_bytes(path: Path) -> int:
    """Return how much data a file has; if it has many extents, how much is allocated for it.

    Raise `NotRegular` and OSError.
    """
    with regular_file(path, os.O_RDONLY) as fd:
        state = os.fstat(fd)
        lengths = [length for _, length in islice(data_extents(fd, 0, state.st_size), EXTENTS_MAX)]
    if len(lengths) < EXTENTS_MAX:
        return sum(lengths)
    return min(state.st_blocks * STAT_BLOCK_BYTES, state.st_size)


def _next_data(fd: int, position: int, end: int) -> int:
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data from here on
            return end
        if error.errno in _UNSUPPORTED:
            return position
        raise


def _next_hole(fd: int, position: int, end: int) -> int:
    try:
        return min(os.lseek(fd, position, os.SEEK_HOLE), end)
    except OSError as error:
        # ENXIO: the file was cut off meanwhile; reading the extent will show it.
        if error.errno == errno.ENXIO or error.errno in _UNSUPPORTED:
            return end
        raise
