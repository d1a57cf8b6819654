"""Part files: who may write one, and what a later attempt makes of those of earlier ones.

A writer may be gone, or only paused for longer than anybody waits, on this machine or on another
that has the pool mounted too. So that it can never harm what a later attempt makes:

- A part is written by whoever holds its flock and has found it, after that, under the name of its
  own attempt. The lock ends with its process. Nobody but the attempt itself makes that name.
- A later attempt goes through the parts of all earlier ones. If it gets the lock, the writer is
  gone: the part is renamed, and gone on with. If not, the writer lives: its file is left alone, but
  loses its name; where the file system can, the later attempt begins with a copy of its blocks.
- A part becomes the image by its name. So a writer that was passed over finds nothing to publish,
  and one that published just before is found to have: whoever takes over looks for the image
  afterwards.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.images.errors import PartTaken
from ledger.images.files import IMAGE_MODE, hold, opened
from ledger.images.pools import Pool
from ledger.images.transfer import reflink


@contextmanager
def own_part(path: Path) -> Iterator[int]:
    """The part file of this attempt, open for writing and locked; made where it is missing.

    Raises `PartTaken`, also where it was taken over between being opened and being locked.
    """
    with opened(path, os.O_RDWR | os.O_CREAT) as fd:
        if not hold(fd) or not _is_called(fd, path):
            raise PartTaken(f"another attempt has {path}")
        yield fd


def take_over(pool: Pool, drive: str, attempt: int) -> None:
    """Leaves no part of an earlier attempt; the newest becomes this one's, if it can.

    Called once, before the attempt makes its own. Raises `PartTaken` if there is a later attempt;
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
        with opened(path, os.O_RDWR) as fd:
            if own.exists():
                path.unlink()
            elif hold(fd):
                path.rename(own)
                if not _is_called(fd, own):  # its writer came to make it only now
                    own.unlink()
            else:
                _share(fd, own)
                path.unlink()
    except FileNotFoundError:  # its writer has published it, or somebody else has taken it over
        return


def _share(fd: int, own: Path) -> None:
    """Begins with the blocks of another part, without touching that; or not at all."""
    new = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, IMAGE_MODE)
    shared = False
    try:
        shared = reflink(fd, new)
        os.fsync(new)
    finally:
        os.close(new)
        if not shared:
            own.unlink(missing_ok=True)


def _is_called(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
