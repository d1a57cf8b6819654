"""Image files, created, published and removed so that a crash leaves all of one or nothing."""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ledger.domain.events.jobs import Fingerprint
from ledger.images.errors import ImageBusy, full_pool_errors
from ledger.images.regular_files import IMAGE_MODE, regular_file, state_of

DIRECTORY_MODE = 0o700
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of the file at `path`; FileNotFoundError where there is none.

    Raise `NotRegular`.
    """
    return fingerprint_of(state_of(path))


def fingerprint_of(state: os.stat_result) -> Fingerprint:
    return Fingerprint(state.st_size, state.st_mtime_ns, state.st_ino)


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Open `path`, and close the descriptor on every way out."""
    fd = os.open(path, flags | os.O_CLOEXEC, IMAGE_MODE)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_regular(path: Path) -> Iterator[int]:
    """Open a regular file to read; OSError for anything else. Never wait, as on a FIFO."""
    with opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
        require_regular(os.fstat(fd), path)
        yield fd


def require_regular(state: os.stat_result, path: Path) -> None:
    """Raise OSError unless this is the state of a regular file."""
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def is_read_only(path: Path) -> bool:
    """Return whether the path is on a file system that is mounted read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def try_lock(fd: int) -> bool:
    """Lock the file until the descriptor is closed; return False if another holds the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_directory(path: Path) -> None:
    """Make a directory that only its owner may read, and those above it, unless it exists."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in directory `path` durable."""
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def create_blank(path: Path, size: int) -> None:
    """Make a durable image of `size` bytes, all of it one hole.

    FileExistsError where there is an image already. PoolFull; other OSErrors pass.
    """
    with full_pool_errors(), _new_file(path) as fd:
        os.ftruncate(fd, size)


def write_once(path: Path, text: str) -> str:
    """Write a file durably, unless there is one; return the text that it has."""
    with suppress(FileExistsError), _new_file(path) as fd:
        os.write(fd, text.encode())
    with regular_file(path, os.O_RDONLY) as fd, os.fdopen(os.dup(fd), encoding="utf-8") as file:
        return file.read()


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """Create a file that is durable when the block is left; FileExistsError if it exists.

    Order: written under a name of its own that ends in ``.new``, synced, linked, directory synced.
    So `path` exists whole or not at all, and if several create it, one is first. After an error
    nothing is left behind; after a crash the ``.new`` name may be.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with regular_file(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
            yield fd
            os.fsync(fd)
        _link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_directory(path.parent)


def _link(unfinished: Path, path: Path) -> None:
    try:
        path.hardlink_to(unfinished)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links, which no two machines share.
        if os.path.lexists(path):
            raise FileExistsError(f"there is an image already: {path}") from error
        unfinished.rename(path)


def grow(image: Path, size: int) -> None:
    """Make a finished image `size` bytes long, durably, with a hole at its end.

    Repeated, after a crash or for the size it has, this changes nothing but still syncs.
    ValueError where the image is longer, which leaves it as it is. ImageBusy while another process
    grows it; PoolFull, NotRegular; other OSErrors pass.
    """
    with full_pool_errors(), regular_file(image, os.O_WRONLY) as fd:
        # No other writer may come between looking at the size and changing it.
        if not try_lock(fd):
            raise ImageBusy(f"another process is growing {image}")
        found = os.fstat(fd).st_size
        if found > size:
            raise ValueError(f"{image} has {found} bytes, more than {size}")
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, found)  # what could not be made durable must not be seen either
            raise


def publish(part: Path, image: Path) -> None:
    """Give a finished part file its image's name, durably; both lie in one file system.

    Order: part synced, renamed, directory synced. An image already there is replaced. OSErrors
    pass (PoolFull if there is no room); FileNotFoundError where the part is missing, which after a
    crash can mean that it was published.
    """
    with full_pool_errors():
        with regular_file(part, os.O_RDONLY) as fd:
            os.fsync(fd)
        part.rename(image)
        sync_directory(image.parent)


def remove(path: Path) -> None:
    """Remove a file, durably. It may be missing; a missing directory is an OSError."""
    path.unlink(missing_ok=True)
    # Even if it was missing: a crash may have come between the unlink and this.
    sync_directory(path.parent)
