"""Disk images to copy: half data, half holes, in stripes."""

import os
from pathlib import Path

from scripts.benchmarks.support.scale import MIB

STRIPE_BYTES = 4 * MIB


def make_image(path: Path, size: int) -> None:
    """Random data and holes by turns, durable, so that no copy pays for writing the source."""
    with path.open("wb") as image:
        for offset in range(0, size, 2 * STRIPE_BYTES):
            image.seek(offset)
            image.write(os.urandom(min(STRIPE_BYTES, size - offset)))
        image.truncate(size)
        image.flush()
        os.fsync(image.fileno())


def remove_durably(path: Path) -> None:
    """Unlinks a file, and waits until its directory is on disk, so that the next copy need not."""
    path.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
