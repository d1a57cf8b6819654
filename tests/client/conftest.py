"""A service, and a home of one's own for the command line that asks it."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.support import processes
from tests.support.wait import PATIENCE_S

__all__ = ["account_data", "machine"]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Shell:
    """Runs commands as somebody with a home of their own does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = processes.environment() | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "c"),
        }

    def run(self, *words: str, stdin: str = "", **set_: str) -> Ended:
        """Without a terminal."""
        done = processes.run(
            *words, stdin=stdin, timeout=PATIENCE_S, cwd=self.home, env=self.environment | set_
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """In the background, without a terminal."""
        return processes.start(
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environment,
        )

    def run_on_terminal(self, *words: str) -> Ended:
        """On a pseudo-terminal, which takes all that it prints."""
        here, there = pty.openpty()
        process = processes.start(
            *words,
            stdin=there,
            stdout=there,
            stderr=there,
            cwd=self.home,
            env=self.environment | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        )
        os.close(there)
        try:
            printed = _all_of(here)
            return Ended(process.wait(PATIENCE_S), printed, "")
        finally:
            os.close(here)
            process.kill()

    def log_in(self, server: Server) -> None:
        done = self.run(
            *("login", server.api.address, "--email", EMAIL, "--password-stdin"),
            stdin=f"{PASSWORD}\n",
        )
        assert (done.code, done.err) == (0, ""), done


def _all_of(terminal: int) -> str:
    """Until nobody has the other end any more."""
    printed = b""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                break
            if not chunk:
                break
            printed += chunk
    return printed.decode()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home)


@pytest.fixture
def server(machine: Machine) -> Server:
    return machine.start()


@pytest.fixture
def slow(machine: Machine) -> Server:
    """A service whose copies take a while."""
    return machine.start("--copy-rate", "1M")


Begin = Callable[..., "subprocess.Popen[str]"]
