"""Files of a pool, opened so that nothing else is met under their names.

A symlink in a pool would lead to files that are not the drive's, a FIFO would hold a thread for
ever, and a device may do anything. All three are refused, on every kernel and in every sandbox: a
pool is flat, so its files are one path component below it, and for that O_NOFOLLOW promises what
`openat2` does with RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH. The path of the pool itself is the
operator's, and may lead through symlinks.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.images.errors import NotRegular

IMAGE_MODE = 0o600
# A symlink, a FIFO that nobody reads, a socket or a device without a driver, a directory.
_OTHER_KINDS = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR})


def open_regular(path: Path, flags: int) -> int:
    """Open the file, which the caller closes. Raise `NotRegular`; other OSErrors pass."""
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, IMAGE_MODE)
    except OSError as error:
        if error.errno in _OTHER_KINDS:
            raise NotRegular(f"{path} is not a regular file") from error
        raise
    try:
        _check(path, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def regular_file(path: Path, flags: int) -> Iterator[int]:
    """Open the file, and close the descriptor on every way out. Raise as `open_regular`."""
    fd = open_regular(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def state_of(path: Path) -> os.stat_result:
    """Return the state of the file. Raise `NotRegular`; FileNotFoundError where there is none."""
    state = path.lstat()
    _check(path, state)
    return state


def is_there(path: Path) -> bool:
    """Return whether there is a file. Raise `NotRegular` if there is anything else."""
    try:
        state_of(path)
    except FileNotFoundError:
        return False
    return True


def _check(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise NotRegular(f"{path} is not a regular file")
