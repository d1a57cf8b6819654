"""Makes a fast, idle machine slow with other work for its processors and its disk."""

import os
import subprocess
import sys
import tempfile
import time

LONGEST_S = 3_600
"""The load ends by itself after this time, whatever the tests do."""
FILE_BYTES = 32 * 1024**2
PAUSE_S = 0.05


class Load:
    """Two processes for each processor that only compute, and one that only writes and syncs."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def pytest_sessionstart(self) -> None:
        for kind in [*["compute"] * 2 * (os.cpu_count() or 1), "write"]:
            command = [sys.executable, "-S", __file__, kind, str(os.getpid())]
            self._processes.append(subprocess.Popen(command))

    def pytest_unconfigure(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _is_wanted(parent: int, until: float) -> bool:
    return os.getppid() == parent and time.monotonic() < until


def compute(parent: int, until: float) -> None:
    while _is_wanted(parent, until):
        sum(range(100_000))


def write(parent: int, until: float) -> None:
    with tempfile.TemporaryFile() as file:
        while _is_wanted(parent, until):
            file.seek(0)
            file.write(os.urandom(1024**2) * (FILE_BYTES // 1024**2))
            file.flush()
            os.fsync(file.fileno())
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    {"compute": compute, "write": write}[sys.argv[1]](
        int(sys.argv[2]), time.monotonic() + LONGEST_S
    )
