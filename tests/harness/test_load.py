"""The load of `--stress` pauses a process that runs tests, and never leaves it in a pause."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import ROOT
from tests.support.wait import wait_for

PAUSED = """
import subprocess, sys
load = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(load.pid, flush=True)
sys.stdin.read()
load.terminate()
load.wait()
"""
LOAD = """
import math, os
from tests.harness import load
load.BETWEEN_PAUSES_S = 0.1
load.PAUSE_S = load.LONGEST_PAUSE_S = {pause_s}
load.pause(os.getppid(), math.inf)
"""


@contextmanager
def paused(pause_s: float) -> Iterator[tuple[int, int]]:
    """A process that is paused now and then, and the one that pauses it."""
    command = [sys.executable, "-c", PAUSED, LOAD.format(pause_s=pause_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


def is_paused(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_pause_begins_and_ends() -> None:
    with paused(pause_s=0.3) as (process, _):
        for _ in range(2):
            wait_for("for a pause", lambda: is_paused(process), pause_s=0.005)
            wait_for("for its end", lambda: not is_paused(process), pause_s=0.001)


def test_a_load_that_is_ended_ends_its_pause() -> None:
    with paused(pause_s=3_600) as (process, load):
        wait_for("for a pause", lambda: is_paused(process))
        os.kill(load, signal.SIGTERM)
        wait_for("for its end", lambda: not is_paused(process))
