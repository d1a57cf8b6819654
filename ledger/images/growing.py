"""An image that gets longer."""

import os
from pathlib import Path

from ledger.images.errors import full_pool_named
from ledger.images.files import opened


def grow(image: Path, size: int) -> None:
    """Extend a finished image with a hole to `size` bytes, durably; one that has them stays so.

    ValueError where it is longer already. FileNotFoundError where there is none, PoolFull for want
    of room; other OSErrors pass. After a crash it can be done again.
    """
    with full_pool_named(), opened(image, os.O_RDWR) as fd:
        found = os.fstat(fd).st_size
        if found > size:
            raise ValueError(f"the image has {found} bytes, more than {size}: {image}")
        os.ftruncate(fd, size)
        os.fsync(fd)
