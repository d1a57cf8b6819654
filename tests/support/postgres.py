"""A PostgreSQL server of the tests' own, and a fresh database for each of them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.service.settings import Settings
from ledger.domain.context import PoolSpace
from ledger.store.postgres.commit_tail import CHANNEL
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import report_pools
from ledger.store.postgres.store import PostgresStore
from projections.views.postgres_writer import PostgresProjection
from tests.support.cluster import run, server_user

PORT = 5432
"""Only part of the socket's name: the server listens at no address."""
OPTIONS = {
    "listen_addresses": "''",
    "fsync": "off",  # its contents are not worth a sync
    "full_page_writes": "off",
    "max_connections": "500",
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",  # in its directory, which goes with it
}
STARTED = "postgres.directory"
MEMORY = Path("/dev/shm")  # noqa: S108 - the directory in it is made by mkdtemp
MEMORY_BYTES = 2 * 1024**3
TEMPLATE = "ledger_template"
_names = count(1)


class PostgresServer:
    """A server that listens at a socket in its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"postgresql://postgres@/postgres?host={directory}"

    def start(self, *initdb: str) -> None:
        """Make its files, and the database that others are copies of."""
        run("initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync", *initdb)
        self.start_again()
        url = self.new_database(named=TEMPLATE)
        PostgresStore(url, PostgresProjection()).close()
        with psycopg.connect(url) as connection:
            # A copy would be refused otherwise: it is not where the ledger was made.
            connection.execute("DELETE FROM home")

    def start_again(self) -> None:
        """Start it as it was when it stopped."""
        set_ = " ".join(f"-c {name}={value}" for name, value in OPTIONS.items())
        options = f"-k {self.directory} -p {PORT} {set_}"
        log = self.directory / "log"
        run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "120", "-o", options, "start")

    def stop(self) -> None:
        run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def new_database(
        self,
        *,
        template: str = "template1",
        named: str | None = None,
        tablespace: str = "pg_default",
    ) -> str:
        """Return the URL of a new database with the contents of the template."""
        name = named or f"ledger_{os.getpid()}_{next(_names)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'
                f' TABLESPACE "{tablespace}"'
            )
        return self.url.replace("/postgres?", f"/{name}?")

    def drop(self, url: str) -> None:
        """Remove a database, even with open connections."""
        name = conninfo_to_dict(url)["dbname"]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def new_ledger(self, *, tablespace: str = "pg_default") -> str:
        """Return the URL of an empty ledger, copied from the template."""
        url = self.new_database(template=TEMPLATE, tablespace=tablespace)
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO home SELECT place FROM here")
        return url


@contextmanager
def server_of_its_own(*initdb: str) -> Iterator[PostgresServer]:
    """Yield a server that a test may stop or break, as it must not with the one that is shared."""
    server = PostgresServer(new_directory())
    server.start(*initdb)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.directory)


def record_pools_elsewhere(url: str, settings: Settings) -> None:
    """Record another worker for all pools of a service that copies nothing: clones need one."""
    spaces = [
        PoolSpace(pool.name, pool.storage_type, 0) for pool in settings.named_pools().values()
    ]
    with connected(url) as connection:
        report_pools(connection, "by hand", spaces)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> PostgresServer:
    """Return the one server of all test processes; the first that needs it starts it."""
    run_directory = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        run_directory = run_directory.parent
    with (run_directory / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = run_directory / STARTED
        if not started.exists():
            server = PostgresServer(new_directory())
            server.start()
            started.write_text(str(server.directory))
    return PostgresServer(Path(started.read_text()))


def stop_server(run_directory: Path) -> None:
    """Stop the server of a run, if there is one, after all of its tests."""
    started = run_directory / STARTED
    if started.exists():
        server = PostgresServer(Path(started.read_text()))
        server.stop()
        shutil.rmtree(server.directory)


def new_directory() -> Path:
    """Return a directory for the server's user, with a path short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir=_in_memory()))
    user = server_user()
    if user is not None:
        shutil.chown(directory, user)
    return directory


def _in_memory() -> Path | None:
    """Return where files are in memory, if there is room; a database has hundreds of them."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    return MEMORY if roomy else None


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Yield the URL of an empty database."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)


@pytest.fixture
def ledger_database(postgres: PostgresServer) -> Iterator[str]:
    """Yield the URL of a database with an empty ledger."""
    url = postgres.new_ledger()
    yield url
    postgres.drop(url)


@contextmanager
def away(url: str) -> Iterator[None]:
    """End all connections to this database, and refuse new ones."""
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def end_connections(url: str) -> int:
    """End all connections to this database, like an administrator; return how many."""
    return _end(url, "true")


def end_listeners(url: str) -> int:
    """End those on which nodes are notified of each other's commits; return how many."""
    return _end(url, f"application_name LIKE '%listening to {CHANNEL}'")


def end_turns(url: str) -> int:
    """End those of nodes that hold a lease, without notice; return how many."""
    return _end(
        url,
        "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock')"
        " AND pid NOT IN (SELECT pid FROM pg_locks WHERE mode = 'ShareLock')",
    )


def _end(url: str, which: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
        ).fetchone()
    assert row is not None
    return int(row[0])
