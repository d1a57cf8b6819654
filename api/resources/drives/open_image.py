"""An image that is open to be read, and what identifies its content."""

import os
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from api.http.preconditions import Version
from ledger.images.digests import kept_digest
from ledger.images.regular_files import open_regular


class OpenImage(NamedTuple):
    """An image, the version of it that is open, and its digest, if that is known."""

    path: Path
    file: FileIO
    state: os.stat_result
    version: Version
    digest: bytes | None

    @property
    def size(self) -> int:
        return self.state.st_size


def open_image(path: Path, drive: str, position: int) -> OpenImage:
    """Open a drive's image, which the caller closes.

    `position` is that of the last event about the image: with the time and size of the file it
    makes a tag that two contents never share. Raise `NotRegular` and OSError.
    """
    file = FileIO(open_regular(path, os.O_RDONLY))
    state = os.fstat(file.fileno())
    tag = f'"{drive}.{position}.{state.st_mtime_ns}.{state.st_size}"'
    version = Version(tag, state.st_mtime_ns // 10**9)
    return OpenImage(path, file, state, version, kept_digest(file.fileno()))
