"""Months of a service, a day at a time: what the store holds follows the last three days of it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.domain.commands.jobs import StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.servers import CloneServer, CreateServers, DeleteServers, NewServer
from tests.retention.conftest import Clock
from tests.support.retained import Retained
from tests.support.story import STORY
from tests.support.world import ME, machine, mount

DAYS = {"months": 75, "year": 365}
YOUNG = 14
CLONES_A_DAY = 2


class Held(NamedTuple):
    """How much the store holds."""

    events: int
    rows: int
    leaf_tiles: int
    guards: int
    bytes: int


def held(file: Path) -> Held:
    with closing(sqlite3.connect(file)) as connection:

        def one(sql: str) -> int:
            return int(connection.execute(sql).fetchone()[0])

        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE name GLOB '*_g1'"
            )
        ]
        return Held(
            one("SELECT count(*) FROM stored_events"),
            sum(one(f"SELECT count(*) FROM {table}") for table in tables),
            one("SELECT count(*) FROM leaf_tiles"),
            one("SELECT count(*) FROM guards"),
            one("PRAGMA page_count") * one("PRAGMA page_size"),
        )


def live_a_day(kept: Retained, day: int) -> None:
    """Servers are cloned; what was cloned the day before is deleted, with its disks."""
    for nth in range(CLONES_A_DAY):
        job = f"day-{day}-{nth}"
        kept.do(CloneServer(ME, "template", f"server-{job}", job))
        [child] = kept.current(f"job-{job}").children
        leaf = child.uuid
        kept.do(StartAttempt(leaf, 1, "w"))
        kept.do(*(UpdateProgress(leaf, 1, done, done, 100, done) for done in range(10, 100, 10)))
        kept.do(SucceedJob(leaf, 1))
    if day:
        before = tuple(f"server-day-{day - 1}-{nth}" for nth in range(CLONES_A_DAY))
        kept.do(DeleteServers(ME, before, "all_drives"))


@pytest.mark.parametrize("age", ["months", pytest.param("year", marks=pytest.mark.long)])
@pytest.mark.thorough
def test_the_store_follows_the_last_days_not_the_age_of_the_service(
    kept: Retained, clock: Clock, age: str
) -> None:
    """Events, rows, tiles, guards and bytes are as many after that time as after a fortnight."""
    kept.do(*STORY[:6])
    template = NewServer("template", machine("template"), (mount("a"),), (), "hush")
    kept.do(CreateServers(ME, (template,)))
    young = None
    for day in range(DAYS[age]):
        live_a_day(kept, day)
        clock.advance(days=1)
        kept.run()
        if day == YOUNG:
            young = held(kept.file)
    old = held(kept.file)
    assert young is not None
    assert old.events <= young.events * 1.1
    assert old.rows <= young.rows * 1.1
    assert old.guards <= young.guards * 1.1
    assert old.leaf_tiles <= young.leaf_tiles + 2
    assert old.bytes <= young.bytes * 1.5
    assert len(kept.shelf.names()) > DAYS[age] - 10
    assert kept.replay().divergence is None
    assert kept.replay(kept.archives).divergence is None
    rebuilt = kept.rebuild()
    assert rebuilt.before == rebuilt.after
