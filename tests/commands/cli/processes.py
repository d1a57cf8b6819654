"""Services in processes of their own, and commands, which need one only where it is looked at."""

import base64
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from api.cli import cli
from tests.harness.evidence import watch_service
from tests.support import processes
from tests.support.wait import PATIENCE_S


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments: object, stdin: bytes = b"", script: Path | None = None) -> Answer:
    """Run a command, or a script in its place, to its end, without a terminal."""
    words = [str(argument) for argument in arguments]
    if script is None:
        done = processes.run(*words, stdin=stdin, timeout=PATIENCE_S)
    else:
        done = subprocess.run(
            [sys.executable, script, *words],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            env=processes.environment(),
        )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def ask(*arguments: object, stdin: bytes = b"") -> Answer:
    """The same in this process, as is enough for whatever a command says and does."""
    ours = dict.fromkeys(os.environ.keys() - processes.environment().keys())
    done = CliRunner(env=ours).invoke(
        cli, [*map(str, arguments)], input=stdin, prog_name="job-ledger"
    )
    if not isinstance(done.exception, SystemExit | None):
        raise done.exception
    return Answer(done.exit_code, done.stdout, done.stderr)


class Serving:
    """A service in a process of its own."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        data.parent.mkdir(parents=True, exist_ok=True)
        self._log = data.with_name(f"{data.name}.log").open("ab+")
        self._process = processes.start(
            *("serve", "--data", str(data), "--port", "0", *arguments),
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        watch_service(self.pid, "the service", lambda: self.log)
        ready = self.line()
        found = re.fullmatch(r"job-ledger listens on http://127\.0\.0\.1:(\d+)", ready)
        if found is None:
            self.end()
            pytest.fail(f"no ready line but {ready!r}: {self.log}")
        self.port = int(found[1])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def line(self) -> str:
        """The next line of its output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().rstrip("\n")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signals the process and waits for its exit code."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(PATIENCE_S)

    def end(self) -> None:
        """Leaves nothing behind, whatever the state."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def get(self, path: str, email: str = "", password: str = "", token: str = "") -> int:
        """The status that a request is answered with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        login = base64.b64encode(f"{email}:{password}".encode()).decode()
        authorization = f"Bearer {token}" if token else f"Basic {login}"
        try:
            connection.request("GET", path, headers={"Authorization": authorization})
            return connection.getresponse().status
        finally:
            connection.close()


Serve = Callable[..., Serving]
