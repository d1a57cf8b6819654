"""Image files: made, published and removed so that a crash leaves all of it or nothing."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ledger.domain.events import Fingerprint
from ledger.images.errors import ImageBusy, full_pool_errors

IMAGE_MODE = 0o600
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def fingerprint(path: Path) -> Fingerprint:
    """The fingerprint of the file at `path`; FileNotFoundError where there is none."""
    return fingerprint_of(path.stat())


def fingerprint_of(state: os.stat_result) -> Fingerprint:
    return Fingerprint(state.st_size, state.st_mtime_ns, state.st_ino)


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """An open descriptor of `path`, closed on every way out."""
    fd = os.open(path, flags | os.O_CLOEXEC, IMAGE_MODE)
    try:
        yield fd
    finally:
        os.close(fd)


def hold(fd: int) -> bool:
    """Whether the file's lock could be taken; it is held until the descriptor is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(path: Path) -> None:
    """Make the names in directory `path` durable."""
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def create_blank(path: Path, size: int) -> None:
    """Make a durable image of `size` bytes, all of it one hole.

    Order: written under a name of its own that ends in ``.new``, synced, linked, directory synced;
    so `path` exists whole or not at all, and of several that make it one is first.

    FileExistsError where there is an image already. PoolFull; other OSErrors pass. After an error
    nothing is left behind; after a crash the ``.new`` name may be.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    with full_pool_errors():
        try:
            with opened(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
                os.ftruncate(fd, size)
                os.fsync(fd)
            _link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_directory(path.parent)


def write_once(path: Path, text: str) -> str:
    """What the file at `path` says: this text, durably, unless there was one before."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    with suppress(FileExistsError):
        try:
            with opened(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
                os.write(fd, text.encode())
                os.fsync(fd)
            _link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_directory(path.parent)
    return path.read_text(encoding="utf-8")


def _link(unfinished: Path, path: Path) -> None:
    try:
        path.hardlink_to(unfinished)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links, which nobody would share.
        if path.exists():
            raise FileExistsError(f"there is an image already: {path}") from error
        unfinished.rename(path)


def grow(image: Path, size: int) -> None:
    """Make a finished image `size` bytes long, durably, with a hole at its end.

    Done again, after a crash or for a size it has, it changes nothing and is durable all the same.
    ValueError where the image is longer, which leaves it as it is. ImageBusy while another lets it
    grow; PoolFull; other OSErrors pass.
    """
    with full_pool_errors(), opened(image, os.O_WRONLY) as fd:
        # Of a writer that was paused between looking and cutting nobody may be ahead.
        if not hold(fd):
            raise ImageBusy(f"another process lets {image} grow")
        found = os.fstat(fd).st_size
        if found > size:
            raise ValueError(f"{image} has {found} bytes, more than {size}")
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, found)  # what could not be made durable is not to be seen either
            raise


def publish(part: Path, image: Path) -> None:
    """Give a finished part file its image's name, durably; both lie in one file system.

    Order: part synced, renamed, directory synced. An image already there is replaced. OSErrors
    pass (PoolFull for want of room); FileNotFoundError where the part is missing, which after a
    crash can mean that it was published.
    """
    with full_pool_errors():
        with opened(part, os.O_RDONLY) as fd:
            os.fsync(fd)
        part.rename(image)
        sync_directory(image.parent)


def remove(path: Path) -> None:
    """Remove a file, durably. That it is missing is fine; that its directory is, is an OSError."""
    path.unlink(missing_ok=True)
    # Also when it was missing: the crash may have come between the unlink and this.
    sync_directory(path.parent)
