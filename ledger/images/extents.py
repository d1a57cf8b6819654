"""Where a sparse file holds data."""

import errno
import os
from collections.abc import Iterator

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
