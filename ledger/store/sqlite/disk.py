"""The disk of a ledger in SQLite, and the reserve on it."""

import logging
import os
import time
from pathlib import Path

from ledger.domain.disk_space import FREE_LEAST, DiskState, reserve_bytes, state_after

RESERVE_FILE = "reserve"
REST_S = 10.0
"""How long no reserve is made after something did not fit. Some file systems are full though they
say that there is room: each batch would make a reserve and give it up."""
BLOCK_BYTES = 2**20

log = logging.getLogger(__name__)


class Disk:
    """The file system that a ledger is on; for one thread, but `state` and `free_bytes`.

    The reserve is of random bytes, which no file system stores in less room. It is given up before
    SQLite opens the file, if necessary: even to read, that takes some room.
    """

    def __init__(self, directory: Path, most: int) -> None:
        """Keep a reserve of at most so many bytes; with 0 none, and only give up one that is there.

        Raise OSError if the file system does not say how large it is.
        """
        self._directory = directory
        self._file = directory / RESERVE_FILE
        found = os.statvfs(directory)
        self.reserve = reserve_bytes(found.f_blocks * found.f_frsize, most)
        self._rests_until = 0.0
        self.state = DiskState.ROOMY
        if self.free_bytes() < FREE_LEAST:
            self._file.unlink(missing_ok=True)
        if self.reserve and not self._has_reserve():
            self.state = DiskState.FULL
        self.look()

    def free_bytes(self) -> int:
        found = os.statvfs(self._directory)
        return found.f_bavail * found.f_frsize

    def look(self) -> DiskState:
        """Return the state of the disk now, having given up or made the reserve accordingly."""
        if time.monotonic() < self._rests_until:
            return self.state
        state = state_after(self.state, self.free_bytes(), self.reserve)
        if state is not self.state:
            self._change_to(state)
        return self.state

    def give_up(self) -> bool:
        """Give up the reserve, because something did not fit; return whether there was one."""
        if self.state is DiskState.FULL or not self.reserve:
            return False
        self._rests_until = time.monotonic() + REST_S
        self._change_to(DiskState.FULL)
        return True

    def _change_to(self, state: DiskState) -> None:
        if state is DiskState.FULL:
            self._file.unlink(missing_ok=True)
        elif self.state is DiskState.FULL and not self._make_reserve():
            return
        told = log.info if state is DiskState.ROOMY else log.warning
        told("the ledger's disk is %s: %d bytes are free", state, self.free_bytes())
        self.state = state

    def _has_reserve(self) -> bool:
        try:
            return self._file.stat().st_size == self.reserve
        except FileNotFoundError:
            return False

    def _make_reserve(self) -> bool:
        """Write the reserve, durably; leave nothing of it if it does not fit."""
        self._file.unlink(missing_ok=True)
        try:
            fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as file:
                left = self.reserve
                while left:
                    left -= file.write(os.urandom(min(left, BLOCK_BYTES)))
                os.fsync(fd)
        except OSError as error:
            log.warning("the reserve of the ledger's disk cannot be written: %s", error)
            self._file.unlink(missing_ok=True)
            return False
        return True
