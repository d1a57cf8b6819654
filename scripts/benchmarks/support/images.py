"""Disk images to copy: half data, half holes, in stripes."""

import os
from pathlib import Path

from scripts.benchmarks.support.scale import MIB

STRIPE_BYTES = 4 * MIB


def make_image(path: Path, size: int) -> None:
    """Write random data and holes by turns, durably, so that no copy waits for the source."""
    with path.open("wb") as image:
        for offset in range(0, size, 2 * STRIPE_BYTES):
            image.seek(offset)
            image.write(os.urandom(min(STRIPE_BYTES, size - offset)))
        image.truncate(size)
        image.flush()
        os.fsync(image.fileno())


def remove_durably(path: Path) -> None:
    """Unlink a file and sync its directory, so that the next copy need not wait for that."""
    path.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
