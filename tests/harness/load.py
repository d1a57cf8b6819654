"""Makes a fast, idle machine slow: other work, and pauses of the tests."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

LONGEST_S = 3_600
"""The load ends by itself after this time, whatever the tests do."""
FILE_BYTES = 32 * 1024**2
REST_S = 0.05
"""The one that writes rests after each time."""
BETWEEN_PAUSES_S = 12.0
PAUSE_S = 1.2
LONGEST_PAUSE_S = 5.0


class Load:
    """Runs processes beside the tests while these run."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds
        self._processes: list[subprocess.Popen[bytes]] = []

    def pytest_sessionstart(self) -> None:
        for kind in self._kinds:
            command = [sys.executable, "-S", __file__, kind, str(os.getpid())]
            self._processes.append(subprocess.Popen(command))

    def pytest_unconfigure(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()


def of_the_machine() -> Load:
    """Return two processes for each processor that only compute, and one that writes and syncs."""
    return Load([*["compute"] * 2 * (os.cpu_count() or 1), "write"])


def of_the_tests() -> Load:
    """Return one that pauses this process now and then, but nothing that the tests started.

    What runs beside a test goes on meanwhile, so a test that asserts something about a moment
    finds that the moment has passed.
    """
    return Load(["pause"])


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
            time.sleep(REST_S)


def pause(parent: int, until: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # never leaves the other in a pause
    chance = random.Random()  # noqa: S311 - a load, no secret
    while _is_wanted(parent, until):
        time.sleep(chance.expovariate(1 / BETWEEN_PAUSES_S))
        if _is_wanted(parent, until):
            try:
                os.kill(parent, signal.SIGSTOP)
                time.sleep(min(chance.expovariate(1 / PAUSE_S), LONGEST_PAUSE_S))
            finally:
                os.kill(parent, signal.SIGCONT)


if __name__ == "__main__":
    {"compute": compute, "write": write, "pause": pause}[sys.argv[1]](
        int(sys.argv[2]), time.monotonic() + LONGEST_S
    )
