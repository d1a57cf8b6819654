"""A file that is uploaded, which must stay the same until all of it has been read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from api.client.errors import ClientError, FileChanged


class LocalImage:
    """An open file, and what it was when it was opened."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._state = _identity(os.fstat(file.fileno()))
        self.size = self._state[0]

    def read(self, start: int, end: int) -> bytes:
        """Return these bytes. Raises `FileChanged`: they may be of another image than those before.

        Looked at by name, so that a file that was replaced has changed too.
        """
        self._file.seek(start)
        content = self._file.read(end - start)
        self.check_unchanged()
        if len(content) < end - start:
            raise FileChanged(self.path)
        return content

    def check_unchanged(self) -> None:
        """Raise `FileChanged` unless the file is what it was when it was opened."""
        try:
            found = _identity(self.path.stat())
        except FileNotFoundError:
            found = None
        if found != self._state:
            raise FileChanged(self.path)


@contextmanager
def local_image(path: Path) -> Iterator[LocalImage]:
    """Open a file to upload it. Raises `ClientError` if it is empty."""
    if not path.stat().st_size:
        raise ClientError(f"{path} is empty: it is not an image")
    with path.open("rb") as file:
        yield LocalImage(path, file)


def _identity(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ino
