"""The data directory, and the lock that keeps it to one process.

The lock is the kernel's (flock): it ends with its process, however that ends, and the file that
stays behind means nothing. The pid in it is for people and error messages.
"""

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ledger.domain.errors import Expected, Misconfigured
from ledger.images.files import make_directory
from ledger.proofs.keys import KEY_FILE

LOCK_FILE = "lock"
FILE_MODE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO
FOLDERS = ("archive", "lost+found")
"""The directories in it whose files are the ledger's."""
PROBING_S = 0.2
"""How long a probe may hold the lock, at the very most."""
PAUSE_S = 0.01

log = logging.getLogger(__name__)


class DataUnusable(Misconfigured):
    """The data directory cannot be made or written to."""


class DataInUse(Expected):
    """Another process has the data directory."""

    def __init__(self, data: Path, pid: int | None) -> None:
        by = "another job-ledger process" if pid is None else f"job-ledger process {pid}"
        super().__init__(f"data directory {data} is in use by {by}")
        self.pid = pid


class Holder(NamedTuple):
    """The process that has a data directory; it writes its pid right after it takes the lock."""

    pid: int | None


@contextmanager
def data_lock(data: Path) -> Iterator[None]:
    """Make the data directory if necessary, and hold its lock for the length of the block.

    Raise `DataInUse` or `DataUnusable`.
    """
    fd = _open(data)
    try:
        if not _acquire(fd):
            raise DataInUse(data, _read_pid(fd))
        _write_pid(fd)
        _close_to_others(data)
        yield
    finally:
        os.close(fd)


def _close_to_others(data: Path) -> None:
    """Let nobody else read the files of a data directory that others may enter.

    An earlier version has made some readable for all. Not the key: one that others could read signs
    nothing any more. Pools are left as they are, as other programs may have to read images.
    """
    if not data.stat().st_mode & OTHERS:
        return
    for folder in (data, *(data / name for name in FOLDERS)):
        for path in folder.iterdir() if folder.is_dir() else ():
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & OTHERS and path.name != KEY_FILE:
                log.warning("others could read %s (mode %04o)", path, stat.S_IMODE(mode))
                path.chmod(FILE_MODE)


def holder(data: Path) -> Holder | None:
    """Return the process that has the data directory, if any. Raise `DataUnusable`."""
    try:
        fd = os.open(data / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(data, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Holder(_read_pid(fd))
    else:
        return None
    finally:
        os.close(fd)


def check_free(data: Path) -> None:
    """Raise `DataInUse` if a process has the data directory; make nothing."""
    held = holder(data)
    if held is not None:
        raise DataInUse(data, held.pid)


def _open(data: Path) -> int:
    try:
        make_directory(data)
        return os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise _unusable(data, error) from error


def _unusable(data: Path, error: OSError) -> DataUnusable:
    reason = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
    return DataUnusable(f"cannot use data directory {data}: {reason}")


def _acquire(fd: int) -> bool:
    """Try for as long as a probe may hold the lock."""
    give_up = time.monotonic() + PROBING_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(PAUSE_S)
        else:
            return True


def _write_pid(fd: int) -> None:
    """Write the pid over the last one's, which takes no room; leave no wrong one."""
    pid = f"{os.getpid()}\n".encode()
    try:
        os.ftruncate(fd, os.pwrite(fd, pid, 0))
    except OSError:  # a full disk: the lock is the kernel's
        os.ftruncate(fd, 0)


def _read_pid(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
