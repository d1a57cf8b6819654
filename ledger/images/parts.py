"""Part files: which attempt may write one, and what later attempts do with those of earlier ones.

A writer may be gone, or only paused for longer than others wait, on this machine or on another that
has the pool mounted too. So that it can never harm the work of a later attempt:

- An attempt writes a part only while it holds the part's flock and, after locking it, has found it
  under its own name. The lock ends with its process. Only the attempt itself creates that name.
- A later attempt goes through the parts of all earlier ones. If it gets the lock, the writer is
  gone: the part is renamed and resumed. If not, the writer is alive: its file is left alone but
  loses its name; where the file system can, the later attempt begins with a copy of its blocks.
- A part becomes the image by its name. So a writer that was overtaken finds nothing to publish. One
  that published just before is noticed: the later attempt looks for the image after taking over.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.images.errors import PartTaken
from ledger.images.files import try_lock
from ledger.images.pools import Pool
from ledger.images.regular_files import is_there, open_regular, regular_file
from ledger.images.transfer import reflink


@contextmanager
def own_part(path: Path) -> Iterator[int]:
    """Open this attempt's part file for writing, and lock it; create it where it is missing.

    Raises `PartTaken`, also if it was taken over between being opened and being locked, and
    `NotRegular`.
    """
    with regular_file(path, os.O_RDWR | os.O_CREAT) as fd:
        if not try_lock(fd) or not _has_name(fd, path):
            raise PartTaken(f"another attempt has {path}")
        yield fd


def take_over(pool: Pool, drive: str, attempt: int) -> None:
    """Take over or remove the parts of earlier attempts; the newest becomes this one's, if it can.

    Called once, before the attempt creates its own. Raises `PartTaken` if there is a later attempt;
    OSErrors pass.
    """
    own = pool.part(drive, attempt)
    while others := [(number, path) for number, path in pool.parts(drive) if number != attempt]:
        if others[-1][0] > attempt:
            raise PartTaken(f"a later attempt has {others[-1][1]}")
        for _, path in reversed(others):
            _take(path, own)


def _take(path: Path, own: Path) -> None:
    try:
        with regular_file(path, os.O_RDWR) as fd:
            if is_there(own):
                path.unlink()
            elif try_lock(fd):
                path.rename(own)
                if not _has_name(fd, own):  # its writer has just created it again
                    own.unlink()
            else:
                _copy_blocks(fd, own)
                path.unlink()
    except FileNotFoundError:  # its writer has published it, or another attempt has taken it over
        return


def _copy_blocks(fd: int, own: Path) -> None:
    """Begin with the blocks of another part, which stays as it is, if the file system can."""
    new = open_regular(own, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    shared = False
    try:
        shared = reflink(fd, new)
        os.fsync(new)
    finally:
        os.close(new)
        if not shared:
            own.unlink(missing_ok=True)


def _has_name(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
