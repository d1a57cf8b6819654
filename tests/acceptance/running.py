"""A whole service as its users have it: a process of its own on a free port, and its commands."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.acceptance.client import Api
from tests.harness.evidence import watch_service
from tests.support import processes
from tests.support.wait import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]
EMAIL = "elm@example.test"
PASSWORD = "correct horse battery staple"

_LISTENS = re.compile(r"^job-ledger listens on (http://\S+)$", re.MULTILINE)


class Server:
    """One server process."""

    def __init__(self, process: subprocess.Popen[bytes], api: Api) -> None:
        self.process = process
        self.pid = process.pid
        self.api = api

    def ended(self, *, within_s: float = PATIENCE_S) -> int:
        """The exit code of a process that ends by itself."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"server {self.pid} still runs after {within_s:g} s")

    def stop(self) -> int:
        """Asks it to stop; returns its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


class Event(NamedTuple):
    """A line of a job's history."""

    name: str
    recorded_at: str
    fields: dict[str, Any]


class Machine:
    """A data directory and a pool, and the processes that are started on them."""

    def __init__(self, data: Path, pool: Path, log: Path, *, code: Path = ROOT) -> None:
        self.data = data
        self.pool = pool
        self.log = log
        self._process = {"cwd": code, "env": processes.environment(code)}
        self._servers: list[Server] = []

    def start(self, *options: str, pools: Sequence[str] | None = None) -> Server:
        """Starts a server and waits until it listens."""
        pools = [f"main={self.pool}"] if pools is None else pools
        said = [text for pool in pools for text in ("--pool", pool)]
        serve = ("serve", "--data", str(self.data), "--port", "0", *said, *options)
        logged = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            process = processes.start(
                *serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._process
            )
        try:
            address = wait_for("for the server to listen", lambda: self._address(process, logged))
        except BaseException:
            process.kill()
            process.wait()
            raise
        watch_service(process.pid, "the server", partial(self._logged_since, logged))
        server = Server(process, Api(address, EMAIL, PASSWORD))
        self._servers.append(server)
        return server

    def command(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command of `job-ledger` on the data directory."""
        return run_command(*words, "--data", str(self.data), stdin=stdin, **self._process)

    def history(self, job: str) -> list[Event]:
        """All events of a job, from the ledger."""
        done = self.command("audit", "replay", "--job", job, "--json")
        assert done.returncode == 0, done.stderr
        lines = msgspec.json.decode(done.stdout)
        return [
            Event(line["event"].partition("/")[0], line["recorded_at"], line["fields"])
            for line in lines
        ]

    def check_sound(self) -> None:
        """The audit finds nothing, and a rebuild shows what was shown before."""
        audit = self.command("audit", "replay")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        rebuilt = self.command("rebuild")
        assert rebuilt.returncode == 0, rebuilt.stderr
        digests = re.findall(r"^digest \w+: +(\S+)$", rebuilt.stdout, re.MULTILINE)
        assert len(digests) == 2, rebuilt.stdout
        assert digests[0] == digests[1], rebuilt.stdout

    def files(self) -> set[str]:
        """The names of all files in the pool."""
        return {path.name for path in self.pool.iterdir()}

    def image(self, drive: str) -> Path:
        return self.pool / f"{drive}.img"

    def wait_for_files(self, *drives: str) -> None:
        """Until the pool holds the images of these drives and nothing else."""
        expected = {f"{drive}.img" for drive in drives}
        wait_for(f"for the pool to hold just {sorted(expected)}", lambda: self.files() == expected)

    def close(self) -> None:
        """Ends what still runs, each process by its own pid."""
        for server in self._servers:
            server.api.close()
            if server.process.poll() is None:
                server.kill()

    def _logged_since(self, start: int) -> str:
        return self.log.read_bytes()[start:].decode(errors="replace")

    def _address(self, process: subprocess.Popen[bytes], logged: int) -> str | None:
        found = _LISTENS.search(self._logged_since(logged))
        if found is None and process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode} instead of listening")
        return found and found[1]


@contextmanager
def machine_in(directory: Path, data: Path, *, code: Path = ROOT) -> Iterator[Machine]:
    """Yield a machine whose data are a copy of `data`, and which runs this code."""
    pool = directory / "pool"
    pool.mkdir()
    shutil.copytree(data, directory / "data")
    machine = Machine(directory / "data", pool, directory / "server.log", code=code)
    try:
        yield machine
    finally:
        machine.close()


def make_data(data: Path) -> None:
    """A data directory with one account in it."""
    add_account(data, EMAIL, PASSWORD)


def add_account(data: Path, email: str, password: str, *options: str) -> None:
    """To a data directory that no service has."""
    add = ("account", "add", email, "--password-stdin", "--data", str(data), *options)
    done = run_command(*add, stdin=f"{password}\n")
    assert done.returncode == 0, done.stderr
    (data / "lock").unlink()


def run_command(*words: str, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    return processes.run(*words, stdin=stdin, timeout=PATIENCE_S, **options)
