"""A pool: a directory on a storage host, and the names of the files in it."""

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from ledger.domain.disk_space import kept_files, kept_in_pool
from ledger.images.errors import PoolFull

STORAGE_TYPES = ("magnetic", "ssd", "dssd", "zadara", "nvme", "local_nvme")

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ATTEMPT = re.compile(r"[0-9]+")


class Room(NamedTuple):
    """How much of a pool's file system images may still take."""

    free_bytes: int
    """Bytes that an unprivileged writer can still write."""
    free_files: int
    kept: int
    """How many of the bytes must stay free."""

    @property
    def is_full(self) -> bool:
        """Whether more images would take the room, or the inodes, that must stay free."""
        return self.free_bytes < self.kept or self.free_files <= 0


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    path: Path
    storage_type: str = "dssd"
    kept_for_ledger: int = field(default=0, compare=False)
    """Bytes that no image may take, because the ledger is on the same file system."""

    def __str__(self) -> str:
        """Return the pool as `parse_pool` reads it."""
        return f"{self.name}={self.path},type={self.storage_type}"

    def image(self, drive: UUID | str) -> Path:
        """Return where the finished image is."""
        return self.path / f"{drive}.img"

    def part(self, drive: UUID | str, attempt: int) -> Path:
        """Return where one attempt builds the image; each attempt has its own file."""
        return self.path / f"{drive}.{attempt}.part"

    def upload(self, drive: UUID | str) -> Path:
        """Return where an upload collects the image."""
        return self.path / f"{drive}.upload"

    def chunks(self, drive: UUID | str) -> Path:
        """Return where the journal of an upload in chunks is."""
        return self.path / f"{drive}.chunks"

    def parts(self, drive: UUID | str) -> list[tuple[int, Path]]:
        """Return the part files of a drive with their attempts, oldest attempt first."""
        found = []
        for path in self.path.iterdir():
            attempt = path.name.removeprefix(f"{drive}.").removesuffix(".part")
            # Built again and compared, so that "007" or another drive's file is not taken for ours.
            if _ATTEMPT.fullmatch(attempt) and path == self.part(drive, int(attempt)):
                found.append((int(attempt), path))
        return sorted(found)

    def files(self, drive: UUID | str) -> list[Path]:
        """Return where a drive's image may be, finished or not; a journal of chunks is not one."""
        parts = [path for _, path in self.parts(drive)]
        return [self.image(drive), self.upload(drive), *parts]

    @property
    def identity_file(self) -> Path:
        """The file that says which pool this is, wherever and under whatever name it is mounted."""
        return self.path / ".pool"

    def room(self) -> Room:
        """Return what room there is, asking the file system once."""
        state = os.statvfs(self.path)
        free, size = state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize
        return Room(free, _free_files(state), max(kept_in_pool(size), self.kept_for_ledger))

    def require_room(self) -> None:
        """Raise `PoolFull` before a write would take what must stay free."""
        if self.room().is_full:
            raise PoolFull(f"what is left in pool {self.name} must stay free")


def _free_files(state: os.statvfs_result) -> int:
    """Return how many files may still be made."""
    if not state.f_files:  # some file systems have no limit
        return sys.maxsize
    return max(0, state.f_favail - kept_files(state.f_files))


def parse_pool(text: str) -> Pool:
    """Read ``NAME=PATH[,type=TYPE]``; raise ValueError if it is malformed.

    A path cannot contain a comma.
    """
    name, equals, rest = text.partition("=")
    path, comma, option = rest.partition(",")
    if not equals:
        raise ValueError(f"pool {text!r}: expected NAME=PATH[,type=TYPE]")
    if not _NAME.fullmatch(name):
        raise ValueError(f"pool {text!r}: the name may hold letters, digits, - and _ only")
    if not path or "\0" in path:
        raise ValueError(f"pool {text!r}: the path is empty or holds a NUL")
    if not comma:
        return Pool(name, Path(path))
    key, _, storage_type = option.partition("=")
    if key != "type":
        raise ValueError(f"pool {text!r}: after the path only ,type=TYPE may follow")
    if storage_type not in STORAGE_TYPES:
        raise ValueError(f"pool {text!r}: type must be one of {', '.join(STORAGE_TYPES)}")
    return Pool(name, Path(path), storage_type)
