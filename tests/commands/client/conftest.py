"""A service, and a home of one's own for the command line that asks it."""

import os
import pty
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.acceptance.client import Api, data_blocks
from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.support import processes
from tests.support.between import Between
from tests.support.wait import PATIENCE_S, wait_for

__all__ = ["account_data", "machine"]

SLOW = "128K"
ENDLESS_BLOCKS = 512
"""At that rate they take minutes: what copies them runs until the test ends it."""
READ_S = 0.1


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
        with self.begun_on_terminal(*words) as terminal:
            return terminal.ended()

    @contextmanager
    def begun_on_terminal(self, *words: str) -> Iterator["Terminal"]:
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
            yield Terminal(process, here)
        finally:
            os.close(here)
            process.kill()
            process.wait()

    def log_in(self, server: Server) -> None:
        self._log_in(server.api.address)

    @contextmanager
    def cut_off(self, server: Server, **most: float) -> Iterator[None]:
        """Logged in by a line that is cut after so many bytes (`Between`)."""
        port = urlsplit(server.api.address).port
        assert port is not None
        with Between(port, **most).running() as between:
            self._log_in(between.address)
            yield

    def _log_in(self, address: str) -> None:
        login = ("login", address, "--email", EMAIL, "--password-stdin")
        done = self.run(*login, stdin=f"{PASSWORD}\n")
        assert (done.code, done.err) == (0, ""), done


class Terminal:
    """What a command prints on one."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._printed = b""

    @property
    def printed(self) -> str:
        return self._printed.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_for(f"for {text!r}", lambda: text in self.printed or not self._read(), pause_s=0)
        assert text in self.printed

    def terminate(self) -> None:
        self._process.terminate()

    def ended(self) -> Ended:
        wait_for("for its end", lambda: not self._read(), pause_s=0)
        return Ended(self._process.wait(PATIENCE_S), self._printed.decode(), "")

    def _read(self) -> bool:
        """False once nobody has the other end any more."""
        if not select.select([self._descriptor], [], [], READ_S)[0]:
            return True
        try:
            chunk = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self._printed += chunk
        return bool(chunk)


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
    """A service whose copies take a while, one after the other."""
    return machine.start("--copy-rate", SLOW, "--copies-per-pool", "1")


def endless(api: Api) -> str:
    """A job of a slow service that copies until it is cancelled; those behind it wait for that."""
    return api.clone(api.upload(data_blocks(ENDLESS_BLOCKS))).job
