"""The server's disk is full: what does not fit is refused, and nothing has failed."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.domain.errors.store import StoreFull, StoreUnreachable
from ledger.domain.events.tags import tag_stream
from ledger.domain.outcomes import Outcome, outcome_of
from ledger.store.writer import waiting
from tests.faults.conftest import mounted
from tests.support.cluster import server_user
from tests.support.opened import CALLER, Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import PostgresServer, new_directory, server_of_its_own
from tests.support.read_models import tags_of
from tests.support.wait import PATIENCE_S
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


@pytest.mark.long
def test_a_server_whose_log_has_no_room_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It panics, and does not start before there is room. Meanwhile requests are refused.

    What was acknowledged is there, and what was said not to be recorded is not.
    """
    monkeypatch.setattr(waiting, "ANSWER_S", 1)
    above = new_directory()
    with mounted(above / "disk", DISK) as disk:
        log = disk / "log"
        log.mkdir()
        shutil.chown(log, server_user())
        with server_of_its_own(f"--waldir={log}", "--wal-segsize=1") as server:
            url = server.new_ledger()
            with in_postgres(url) as opened:
                fill_the_log(server, disk, opened)
            server.drop(url)
    shutil.rmtree(above)


def fill_the_log(server: PostgresServer, disk: Path, opened: Opened) -> None:
    claims = {name: create(opened, name) for name in ("before", "too")}
    assert set(claims.values()) == {"recorded"}
    filler = disk / "filler"
    found = os.statvfs(disk)
    filler.write_bytes(bytes(found.f_bavail * found.f_frsize))
    for nth in count():
        name = f"tag-{nth}"
        claims[name] = create(opened, name)
        if claims[name] != "recorded":
            break
    assert "PANIC" in (server.directory / "log").read_text()
    claims |= {name: create(opened, name) for name in ("refused", "refused-too")}
    assert opened.failures == []
    filler.unlink()
    server.start_again()
    opened.ledger.exclusive(lambda _: None).result(PATIENCE_S)
    claims["after"] = create(opened, "after")
    for name, claim in claims.items():
        is_there = opened.current(tag_stream(name)) is not None
        assert claim == "unknown" or is_there == (claim == "recorded"), (name, claim)
    assert list(claims.values()).count("recorded") == len(claims) - 3
    assert opened.failures == []
    assert opened.replay().divergence is None


def create(opened: Opened, name: str) -> Outcome:
    """Return what is claimed of a new tag, as for a request."""
    try:
        asyncio.run(opened.ledger.execute(CreateTags(ME, (NewTag(name, name, META),)), CALLER))
    except StoreUnreachable as error:
        return outcome_of(error)
    return "recorded"


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
            assert len(tags_of(snapshot, ME)) == len(made)
        assert opened.failures == []

        filler.unlink()
        opened.do(CreateTags(ME, (NewTag("after", "after", META),)))
        for name in (*made, "after"):
            assert opened.current(tag_stream(name)) is not None
        assert opened.current(tag_stream(f"tag-{len(made)}")) is None
        assert opened.replay().divergence is None
    server.drop(url)
