"""Whose task is taken away: theirs who are silent though they could speak, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from ledger.commands import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.workers.copying import Copying, CopyWorkers
from ledger.workers.engine import Workplace, working
from ledger.workers.provisioning import Provisioning
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import away
from tests.support.world import ME, disk

STALLED_S = 1.5
AWAY_S = 3.0
BEAT_S = 0.2
LATE_S = 0.8
"""After the database is back: others look sooner than that."""

_TAKEN = "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s RETURNING id"


@pytest.fixture
def opened(database: str) -> Iterator[Opened]:
    """With a clone, whose copy waits."""
    with in_postgres(database) as opened:
        new = CreateDrives(ME, (NewDrive("source", disk(), "fast"),), "upload")
        opened.do(new, MarkDriveReady("source"), CloneDrive(ME, "source", "copy", "job"))
        yield opened


class Other:
    """A worker elsewhere, which has the task; it sends heartbeats as long as it can and is told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.beats = True
        with psycopg.connect(url) as connection:
            [[self.id]] = connection.execute(
                "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id"
            ).fetchall()
            assert connection.execute(_TAKEN, (self.id,)).fetchall()

    async def beat(self) -> None:
        while True:
            with suppress(psycopg.OperationalError):
                if self.beats:
                    await asyncio.to_thread(self._beat)
            await asyncio.sleep(BEAT_S)

    def has_it(self) -> bool:
        with psycopg.connect(self._url) as connection:
            return connection.execute(
                "SELECT status = 'doing' AND worker_id = %s FROM procrastinate_jobs", (self.id,)
            ).fetchall() == [(True,)]

    def _beat(self) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute(
                "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s", (self.id,)
            )


@pytest.fixture
async def other(opened: Opened, database: str) -> AsyncIterator[Other]:
    other = Other(database)
    beating = asyncio.create_task(other.beat())
    yield other
    beating.cancel()


def place(opened: Opened) -> Workplace:
    """Has no pools, so it takes no tasks, and looks after those of others."""
    copying = CopyWorkers(opened.ledger, {}, Copying(1, None, verify=False), worker="test")
    provisioning = Provisioning(opened.ledger, {}, spaces=tuple, new_id=lambda: "none")
    return Workplace(opened.ledger, {}, copying, provisioning, 0, list)


async def test_a_worker_that_falls_silent_loses_its_task(
    opened: Opened, database: str, other: Other
) -> None:
    """In time; not before."""
    async with working(database, place(opened), stalled_s=STALLED_S):
        await asyncio.sleep(2 * STALLED_S)
        assert other.has_it()
        other.beats = False
        async with asyncio.timeout(4 * STALLED_S):
            while other.has_it():  # noqa: ASYNC110 - it is a matter of time
                await asyncio.sleep(BEAT_S)


@pytest.mark.parametrize("question", [0, 1], ids=["first", "second"])
async def test_a_question_that_outlives_the_absence_of_the_database(
    opened: Opened,
    database: str,
    other: Other,
    monkeypatch: pytest.MonkeyPatch,
    question: int,
) -> None:
    """It waits for a connection, and is answered with heartbeats that could not be sent.

    Whichever question of a look it is: heartbeats come first once the database is back.
    """
    hangs, back = asyncio.Event(), asyncio.Event()
    before: list[int] = []
    ask = JobManager.get_stalled_jobs

    async def hang(manager: JobManager, **given: Any) -> Iterable[Job]:
        if before and before[0] == 0:
            hangs.set()
            await back.wait()
        before[:] = [left - 1 for left in before]
        return await ask(manager, **given)

    monkeypatch.setattr(JobManager, "get_stalled_jobs", hang)
    async with working(database, place(opened), stalled_s=STALLED_S):
        await asyncio.sleep(2 * STALLED_S)
        before.append(question)
        await asyncio.wait_for(hangs.wait(), 4 * STALLED_S)
        other.beats = False
        with away(database):
            await asyncio.sleep(AWAY_S)
        back.set()
        await asyncio.sleep(LATE_S)
        other.beats = True
        await asyncio.sleep(2 * STALLED_S)
        assert other.has_it()
