"""The disk of a ledger in SQLite, and the reserve on it."""

import logging
import os
import threading
import time
from pathlib import Path

from ledger.domain.disk_space import FREE_LEAST, DiskState, reserve_bytes, state_after

RESERVE_FILE = "reserve"
REST_S = 10.0
"""How long no reserve is made after something did not fit, or itself did not. Some file systems are
full though they say that there is room: each batch would make a reserve and give it up."""
BLOCK_BYTES = 2**20

log = logging.getLogger(__name__)


def free_bytes(directory: Path) -> int:
    """Return how many bytes an unprivileged writer can still write."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


class Disk:
    """The file system that a ledger is on; for one thread, but `state` and `free_bytes`.

    The reserve is of random bytes, which no file system stores in less room. It is given up before
    SQLite opens the file, if necessary: even to read, that takes some room. It is made again by a
    thread of its own; until it is there, the disk is full.
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
        self._maker: threading.Thread | None = None
        self._closing = threading.Event()
        self.state = DiskState.ROOMY
        if self.free_bytes() < FREE_LEAST:
            self._file.unlink(missing_ok=True)
        if self.reserve and not self._has_reserve():
            self._begin_without_reserve()
        self.look()

    def free_bytes(self) -> int:
        return free_bytes(self._directory)

    def look(self) -> DiskState:
        """Return the state of the disk now, having given up the reserve or begun to make it."""
        if self._maker is not None:
            self._look_at_maker(self._maker)
        elif time.monotonic() >= self._rests_until:
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

    def close(self) -> None:
        """Stop making reserves."""
        self._closing.set()
        if self._maker is not None:
            self._maker.join()

    def _begin_without_reserve(self) -> None:
        self.state = DiskState.FULL
        has_room = state_after(self.state, self.free_bytes(), self.reserve) is DiskState.ROOMY
        if has_room and self._make_reserve():
            self.state = DiskState.ROOMY

    def _change_to(self, state: DiskState) -> None:
        if self.state is DiskState.FULL:
            self._maker = threading.Thread(target=self._make_reserve, name="reserve", daemon=True)
            self._maker.start()
            return
        if state is DiskState.FULL:
            self._file.unlink(missing_ok=True)
        self._note(state)

    def _look_at_maker(self, maker: threading.Thread) -> None:
        if maker.is_alive():
            return
        self._maker = None
        if self._has_reserve():
            self._note(DiskState.ROOMY)
        else:
            self._rests_until = time.monotonic() + REST_S

    def _note(self, state: DiskState) -> None:
        told = log.info if state is DiskState.ROOMY else log.warning
        told("the ledger's disk is %s: %d bytes are free", state, self.free_bytes())
        self.state = state

    def _has_reserve(self) -> bool:
        try:
            return self._file.stat().st_size == self.reserve
        except FileNotFoundError:
            return False

    def _make_reserve(self) -> bool:
        """Write the reserve, durably; leave nothing of it if it does not fit, or must not be."""
        self._file.unlink(missing_ok=True)
        try:
            fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as file:
                left = self.reserve
                while left and not self._closing.is_set():
                    left -= file.write(os.urandom(min(left, BLOCK_BYTES)))
                os.fsync(fd)
        except OSError as error:
            log.warning("the reserve of the ledger's disk cannot be written: %s", error)
            self._file.unlink(missing_ok=True)
            return False
        if left:
            self._file.unlink(missing_ok=True)
        return not left
