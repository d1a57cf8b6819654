"""A pool: the directory of a storage host, and the names of the files in it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

STORAGE_TYPES = ("magnetic", "ssd", "dssd", "zadara", "nvme", "local_nvme")

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ATTEMPT = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    path: Path
    storage_type: str = "dssd"

    def __str__(self) -> str:
        """As `parse_pool` reads it."""
        return f"{self.name}={self.path},type={self.storage_type}"

    def image(self, drive: UUID | str) -> Path:
        """Where the finished image lies."""
        return self.path / f"{drive}.img"

    def part(self, drive: UUID | str, attempt: int) -> Path:
        """Where one attempt builds the image; each attempt has its own file."""
        return self.path / f"{drive}.{attempt}.part"

    def upload(self, drive: UUID | str) -> Path:
        """Where an upload collects the image."""
        return self.path / f"{drive}.upload"

    def chunks(self, drive: UUID | str) -> Path:
        """The journal of an upload that comes in chunks."""
        return self.path / f"{drive}.chunks"

    def parts(self, drive: UUID | str) -> list[tuple[int, Path]]:
        """The part files present for a drive with their attempts, oldest attempt first."""
        found = []
        for path in self.path.iterdir():
            attempt = path.name.removeprefix(f"{drive}.").removesuffix(".part")
            # Built back and compared, so that "007" or another drive's file is not taken for ours.
            if _ATTEMPT.fullmatch(attempt) and path == self.part(drive, int(attempt)):
                found.append((int(attempt), path))
        return sorted(found)

    @property
    def identity_file(self) -> Path:
        """Says which pool this is, wherever it is mounted and whatever it is called there."""
        return self.path / ".pool"

    def free_bytes(self) -> int:
        """Bytes an unprivileged writer may still fill."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize


def parse_pool(text: str) -> Pool:
    """Read ``NAME=PATH[,type=TYPE]``; ValueError says what is wrong with it.

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
