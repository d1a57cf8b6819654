"""Moves bytes from one open file to another, by the shortest way both file systems know."""

import errno
import fcntl
import os

from ledger.images.errors import SourceChanged

FICLONE = 0x40049409
BUFFER_BYTES = 1024 * 1024

# "Not here": another file system, not built in, or forbidden by a sandbox.
_NOT_HERE = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM}
)


def reflink(source_fd: int, part_fd: int) -> bool:
    """Make the part share all of the source's blocks; False where that cannot be done."""
    try:
        fcntl.ioctl(part_fd, FICLONE, source_fd)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True


def move(source_fd: int, part_fd: int, offset: int, length: int) -> None:
    """Copy `length` bytes at `offset` to the same place; all of them.

    SourceChanged where the source ends before; OSErrors pass.
    """
    end = offset + length
    while offset < end:
        moved = _move_in_kernel(source_fd, part_fd, offset, end - offset)
        if moved == 0:
            moved = _move_through_memory(source_fd, part_fd, offset, end - offset)
        offset += moved


def _move_in_kernel(source_fd: int, part_fd: int, offset: int, length: int) -> int:
    """Return the bytes moved; 0 if the kernel cannot, or reports the end of the file."""
    try:
        return os.copy_file_range(source_fd, part_fd, length, offset, offset)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return 0
        raise


def _move_through_memory(source_fd: int, part_fd: int, offset: int, length: int) -> int:
    data = os.pread(source_fd, min(length, BUFFER_BYTES), offset)
    if not data:
        raise SourceChanged(f"the source ends at {offset} bytes, before the data it had")
    write_all(part_fd, data, offset)
    return len(data)


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, even if the kernel takes only some at a time."""
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.pwrite(fd, view[written:], offset + written)
