"""Files of backups: copied durably, digested, and moved aside without replacing any."""

import os
import threading
from itertools import chain, count
from pathlib import Path

from ledger.images.copy import copy_image
from ledger.images.digests import sha256
from ledger.images.files import (
    fingerprint,
    make_directory,
    opened,
    opened_regular,
    sync_directory,
)
from projections.maintenance.backup.manifest import FileRecord


def write_file(path: Path, content: bytes) -> None:
    """Make a file with mode 0600, durable except for its name. Raise OSError."""
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content)
        os.fsync(fd)


def copy_file(source: Path, copy: Path) -> None:
    """Copy a file durably, with its holes and time; replace a part of an earlier copy.

    Make a reflink where the file system can. Raise `ImageError`, or OSError without a source.
    """
    expected = fingerprint(source)
    copy_image(
        source=source,
        part=copy,
        size=expected.size,
        resume=None,
        on_checkpoint=lambda _: None,
        on_moved=lambda _: None,
        rate=None,
        verify=False,
        stop=threading.Event(),
        expected=expected,
    )
    set_time(copy, expected.mtime_ns)


def set_time(path: Path, mtime_ns: int) -> None:
    """Give a file the time of its source, by which copies are recognized."""
    os.utime(path, ns=(mtime_ns, mtime_ns))
    sync_file(path)


def sync_file(path: Path) -> None:
    """Make the content of a file durable. Raise OSError."""
    with opened(path, os.O_RDONLY) as fd:
        os.fsync(fd)


def link_or_copy(source: Path, copy: Path) -> None:
    """Hard-link a file that never changes, or else copy it. Raise as `copy_file`."""
    with opened_regular(source):
        pass  # anything else would be linked, too, or waited for
    try:
        os.link(source, copy)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        copy_file(source, copy)


def describe_file(path: Path) -> FileRecord:
    """Return a file's size and digest. Raise OSError."""
    with opened_regular(path) as fd:
        size = os.fstat(fd).st_size
        return FileRecord(size, sha256(fd, 0, size).hex())


def set_aside(path: Path, directory: Path) -> Path:
    """Move a file durably into a directory of the same file system; return its new path.

    Replace nothing: a file whose name is taken gets a number. Raise OSError.
    """
    make_directory(directory)
    numbered = (directory / f"{path.name}.{number}" for number in count(2))
    names = chain([directory / path.name], numbered)
    target = next(name for name in names if not os.path.lexists(name))
    path.rename(target)
    sync_directory(directory)
    sync_directory(path.parent)
    return target
