"""The server's disk is full: what does not fit is refused, and nothing has failed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.domain.commands import CreateTags, NewTag
from ledger.domain.errors import StoreFull
from ledger.domain.events import tag_stream
from tests.faults.conftest import mounted
from tests.support.cluster import server_user
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import PostgresServer, new_directory, server_of_its_own
from tests.support.world import ME

MIB = 1024**2
DISK = f"size={48 * MIB}"
META = {"notes": "x" * 10_000}


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own: on a full disk it makes no checkpoint, of any database."""
    with server_of_its_own() as server:
        yield server


@pytest.fixture
def disk(server: PostgresServer) -> Iterator[Path]:
    """A small disk, on which the server can have databases but not its log."""
    above = new_directory()
    with mounted(above / "disk", DISK) as disk:
        here = disk / "here"
        here.mkdir()
        shutil.chown(here, server_user())
        execute(server, f"CREATE TABLESPACE small LOCATION '{here}'")
        yield disk
        execute(server, "DROP TABLESPACE small")
    shutil.rmtree(above)


def execute(server: PostgresServer, sql: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql)


def created_until_refused(opened: Opened) -> list[str]:
    made: list[str] = []
    while True:
        name = f"tag-{len(made)}"
        try:
            opened.do(CreateTags(ME, (NewTag(name, name, META),)))
        except StoreFull:
            return made
        made.append(name)


def test_what_does_not_fit_is_refused(server: PostgresServer, disk: Path) -> None:
    url = server.new_ledger(tablespace="small")
    filler = disk / "filler"
    found = os.statvfs(disk)
    filler.write_bytes(bytes(found.f_bavail * found.f_frsize - MIB // 2))
    with in_postgres(url) as opened:
        made = created_until_refused(opened)
        with pytest.raises(StoreFull):
            opened.ledger.exclusive(
                lambda cursor: cursor.execute("CREATE TABLE t AS SELECT generate_series(1, 100000)")
            ).result()
        assert made
        with opened.snapshot() as snapshot:
            assert len(snapshot.tags(ME, limit=-1)) == len(made)
        assert opened.failures == []

        filler.unlink()
        opened.do(CreateTags(ME, (NewTag("after", "after", META),)))
        for name in (*made, "after"):
            assert opened.current(tag_stream(name)) is not None
        assert opened.current(tag_stream(f"tag-{len(made)}")) is None
        assert opened.replay().divergence is None
    server.drop(url)
