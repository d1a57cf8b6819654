"""Files of backups: copied durably, digested, and moved aside without ever replacing one."""

import hashlib
import os
import threading
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from ledger.images import Figures, copy_image, data_extents, fingerprint, sync_directory
from ledger.images.files import opened
from projections.maintenance.backup.manifest import FileRecord

READ_BYTES = 1024**2
_ZEROS = bytes(READ_BYTES)
DIRECTORY_MODE = 0o700


def make_directory(path: Path) -> None:
    """Makes a directory that only its owner may look into, and those above it; or lets it be."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Makes a file with mode 0600, durable but for its name. Raises OSError."""
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content)
        os.fsync(fd)


def copy_file(source: Path, copy: Path) -> None:
    """Copies a file, holes and time included, durably; a part of an earlier copy is replaced.

    A reflink where the file system can make one. Raises `ImageError`; OSError where there is no
    source.
    """
    expected = fingerprint(source)
    copy_image(
        source=source,
        part=copy,
        size=expected.size,
        resume=None,
        on_checkpoint=lambda _: None,
        figures=Figures(),
        rate=None,
        verify=False,
        stop=threading.Event(),
        expected=expected,
    )
    set_time(copy, expected.mtime_ns)


def set_time(path: Path, mtime_ns: int) -> None:
    """Gives a file the time of another, by which copies of it are known to be."""
    os.utime(path, ns=(mtime_ns, mtime_ns))
    sync_file(path)


def sync_file(path: Path) -> None:
    """Makes what is in a file durable. Raises OSError."""
    with opened(path, os.O_RDONLY) as fd:
        os.fsync(fd)


def link_or_copy(source: Path, copy: Path) -> None:
    """Another name for a file that never changes, or else a copy. Raises as `copy_file`."""
    try:
        os.link(source, copy)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        copy_file(source, copy)


def describe_file(path: Path) -> FileRecord:
    """A file's size and digest. Raises OSError."""
    digest = hashlib.sha256()
    with opened(path, os.O_RDONLY) as fd:
        size = os.fstat(fd).st_size
        for block in _blocks(fd, size):
            digest.update(block)
    return FileRecord(size, digest.hexdigest())


def _blocks(fd: int, size: int) -> Iterator[bytes]:
    """What the file reads as; holes are not read."""
    end = 0
    for offset, length in data_extents(fd, 0, size):
        yield from _zeros(offset - end)
        for at in range(offset, offset + length, READ_BYTES):
            yield os.pread(fd, min(READ_BYTES, offset + length - at), at)
        end = offset + length
    yield from _zeros(size - end)


def _zeros(length: int) -> Iterator[bytes]:
    for at in range(0, length, READ_BYTES):
        yield _ZEROS[: min(READ_BYTES, length - at)]


def set_aside(path: Path, directory: Path) -> Path:
    """Moves a file into a directory of the same file system; returns what it is called there.

    Nothing is replaced: where there is one of that name, it gets a number. Durable. Raises OSError.
    """
    make_directory(directory)
    numbered = (directory / f"{path.name}.{nth}" for nth in count(2))
    names = chain([directory / path.name], numbered)
    target = next(name for name in names if not os.path.lexists(name))
    path.rename(target)
    sync_directory(directory)
    sync_directory(path.parent)
    return target
