"""The part of a download that has come: `FILE.part`, and `FILE.part.json`, which says of what.

Bytes are added to a part only while it is known what they are part of, so the order is: the part is
emptied, what it will be a part of is written and synced, then the first byte.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from api.client.errors import ForeignPart, PartInUse

MODE = 0o600


class Origin(Struct, frozen=True):
    """Identifies the image of a part: the ledger, the drive, its size, and the strong tag.

    Without a tag it cannot be resumed.
    """

    ledger: str
    drive: str
    size: int
    etag: str | None = None


def part_of(file: Path) -> Path:
    """Return the file that holds a download until it is complete."""
    return file.with_name(f"{file.name}.part")


class PartialFile:
    """A part, which only this download writes to."""

    def __init__(self, file: Path, fd: int) -> None:
        self.path = part_of(file)
        self._file = file
        self._note = file.with_name(f"{file.name}.part.json")
        self._fd = fd
        self.length = os.fstat(fd).st_size
        self.origin: Origin | None = self._read_note() if self.length else None

    def check_origin(self, ledger: str, drive: str) -> None:
        """Raise `ForeignPart` if there are bytes of anything else than this drive."""
        if not self.length:
            return
        if self.origin is None:
            raise ForeignPart(self.path, f"{self._note.name}, which says what it is of, is missing")
        if (self.origin.ledger, self.origin.drive) != (ledger, drive):
            raise ForeignPart(self.path, f"it is of drive {self.origin.drive}")

    def begin(self, origin: Origin) -> None:
        """Start over with the first byte of this version."""
        self.cut(0)
        os.fsync(self._fd)
        self.origin = origin
        new = self._note.with_name(f"{self._note.name}.new")
        with _opened(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
            os.write(fd, msgspec.json.encode(origin))
            os.fsync(fd)
        new.rename(self._note)
        self._sync_directory()

    def append(self, content: bytes) -> None:
        with memoryview(content) as rest:
            written = 0
            while written < len(rest):
                written += os.pwrite(self._fd, rest[written:], self.length + written)
        self.length += len(content)

    def cut(self, length: int) -> None:
        """Keep only this many bytes."""
        os.ftruncate(self._fd, length)
        self.length = length

    def complete(self) -> None:
        """Give the part the file's name, durably."""
        os.fsync(self._fd)
        self.path.rename(self._file)
        self._note.unlink(missing_ok=True)
        self._sync_directory()

    def remove_if_empty(self) -> None:
        if not self.length:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _read_note(self) -> Origin | None:
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._note.read_bytes(), type=Origin)
        return None

    def _sync_directory(self) -> None:
        with _opened(self.path.parent, os.O_RDONLY | os.O_DIRECTORY) as fd:
            os.fsync(fd)


@contextmanager
def partial_file(file: Path) -> Iterator[PartialFile]:
    """Open the part of a file, or make it, and keep other downloads out. Raises `PartInUse`.

    One that nothing was written to is removed again.
    """
    path = part_of(file)
    with _opened(path, os.O_RDWR | os.O_CREAT) as fd:
        _lock(path, fd)
        part = PartialFile(file, fd)
        try:
            yield part
        finally:
            part.remove_if_empty()


def _lock(path: Path, fd: int) -> None:
    """Lock the part; another download may have given it the name of its file just before."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        has_name = os.path.samestat(os.fstat(fd), path.stat())
    except (BlockingIOError, FileNotFoundError):
        has_name = False
    if not has_name:
        raise PartInUse(path)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC, MODE)
    try:
        yield fd
    finally:
        os.close(fd)
