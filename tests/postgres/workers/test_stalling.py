"""Tasks are taken only from workers that are silent while the database can be reached."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.images.pools import Pool
from ledger.workers.attempts import CopySettings
from ledger.workers.engine import BEATS, WorkerSetup, run_worker
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.job_worker import JobWorker
from ledger.workers.task_manager import TaskManager
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import away
from tests.support.wait import PATIENCE_S, patience, wait_until
from tests.support.world import ME, Foreseen, disk

STALLED_S = 1.5
AWAY_S = 2 * STALLED_S / BEATS + 0.2
"""So long that whoever looks notices."""

_TAKEN = (
    "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s"
    " WHERE args ->> 'job' = %s RETURNING id"
)
_BEAT = "UPDATE procrastinate_workers SET last_heartbeat = now() + %s * interval '1 hour'"


@pytest.fixture
def opened(database: str) -> Iterator[Opened]:
    """With three clones, whose copies wait."""
    with in_postgres(database) as opened:
        new = CreateDrives(ME, (NewDrive("source", disk(), "fast"),), "upload")
        opened.do(new, MarkDriveReady("source"))
        for job in ("one", "two", "three"):
            opened.do(CloneDrive(ME, "source", f"copy-{job}", job))
        yield opened


class Other:
    """A worker elsewhere, which has a task.

    Its heartbeats are of the time to come as long as it lives, so that none is missed on a machine
    that is busy, and of long ago once it is silent.
    """

    def __init__(self, url: str, job: str) -> None:
        self._url = url
        with psycopg.connect(url) as connection:
            [[self.id]] = connection.execute(
                "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id"
            ).fetchall()
            assert connection.execute(_TAKEN, (self.id, job)).fetchall()
        self.live()

    def live(self) -> None:
        self._beat(1)

    def fall_silent(self) -> None:
        self._beat(-0.5)

    def has_it(self) -> bool:
        with psycopg.connect(self._url) as connection:
            return (
                connection.execute(
                    "SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %s",
                    (self.id,),
                ).fetchone()
                is not None
            )

    async def loses_it(self) -> None:
        """Which shows that somebody looks, and takes tasks from those who are silent."""
        await wait_until("for the task to be taken away", lambda: not self.has_it())

    def _beat(self, hours: float) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute(f"{_BEAT} WHERE id = %s", (hours, self.id))


@pytest.fixture
def others(opened: Opened, database: str) -> tuple[Other, Other, Other]:
    one, two, three = (Other(database, job) for job in ("one", "two", "three"))
    return one, two, three


def place(opened: Opened) -> WorkerSetup:
    """Has no pools, so it takes no tasks, and looks after those of others."""
    copying = JobWorker(opened.ledger, {}, CopySettings(1, None, verify=False), worker="test")
    image_keeper = ImageKeeper(opened.ledger, {}, Foreseen(pools=()))
    return WorkerSetup(opened.ledger, {}, copying, image_keeper, 0, list)


async def test_a_silent_worker_loses_its_task(
    opened: Opened, database: str, others: tuple[Other, Other, Other]
) -> None:
    """No other worker does."""
    living, first, second = others
    first.fall_silent()
    async with run_worker(database, place(opened), stalled_s=STALLED_S):
        await first.loses_it()
        assert living.has_it()
        assert second.has_it()
        second.fall_silent()
        await second.loses_it()
        assert living.has_it()


class Holding(JobWorker):
    """Begins jobs, and ends none before it may."""

    def __init__(self, opened: Opened, pools: dict[str, Pool]) -> None:
        super().__init__(opened.ledger, pools, CopySettings(1, None, verify=False), worker="test")
        self.begun: list[str] = []
        self.may_end = Event()

    def run_attempt(self, uuid: str) -> bool:
        self.begun.append(uuid)
        assert self.may_end.wait(PATIENCE_S)
        return True


async def test_a_worker_never_takes_itself_for_dead(
    opened: Opened, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late its heartbeats are: it would do twice at once what it does."""

    async def late(*_: object) -> None:
        pass

    monkeypatch.setattr(TaskManager, "update_heartbeat", late)
    first, second = (Other(database, job) for job in ("two", "three"))
    pools = {"fast": Pool("fast", tmp_path)}
    holding = Holding(opened, pools)
    setup = place(opened)._replace(pools=pools, job_worker=holding, copies_per_pool=1)
    async with run_worker(database, setup, stalled_s=STALLED_S):
        await wait_until("it is at work", lambda: holding.begun)
        with psycopg.connect(database) as connection:
            connection.execute(f"{_BEAT} WHERE id NOT IN (%s, %s)", (-0.5, first.id, second.id))
        for silent in (first, second):  # the second is taken by a look that begins after the first
            silent.fall_silent()
            await silent.loses_it()
        assert holding.begun == ["one"]
        with psycopg.connect(database) as connection:
            doing = connection.execute(
                "SELECT args ->> 'job' FROM procrastinate_jobs WHERE status = 'doing'"
            ).fetchall()
        assert doing == [("one",)]
        holding.may_end.set()


class Questions:
    """Whose heartbeats are missing: what is asked of the database, of which one question hangs.

    Once the database is back others send heartbeats before it is asked for the third time: each
    look comes sooner than a third of the time after which they would be taken for dead, or else
    it is as if the database had been away again.
    """

    def __init__(self, other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
        self._other = other
        self._ask = JobManager.get_stalled_jobs
        self._left: int | None = None
        self._answers = 0
        self.hangs, self.back, self.beats = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def asked(manager: JobManager, **given: Any) -> Iterable[Job]:
            return await self._asked(manager, **given)

        monkeypatch.setattr(JobManager, "get_stalled_jobs", asked)

    def hang(self, question: int) -> None:
        """The next one does, or the second of a look: there is one if somebody seems silent."""
        self._left = question

    async def _asked(self, manager: JobManager, **given: Any) -> Iterable[Job]:
        if self.back.is_set():
            if self._answers == 2:
                self._other.live()
                self.beats.set()
        elif self._left == 0:
            self.hangs.set()
            await self.back.wait()
        elif self._left == 1:
            self._other.fall_silent()
            self._left = 0
        answer = await self._ask(manager, **given)
        self._answers += self.back.is_set()
        return answer


@pytest.mark.parametrize("question", [0, 1], ids=["first", "second"])
async def test_a_query_that_outlasts_an_outage_of_the_database(
    opened: Opened,
    database: str,
    others: tuple[Other, Other, Other],
    monkeypatch: pytest.MonkeyPatch,
    question: int,
) -> None:
    """It waits for a connection, and is answered with heartbeats that could not be sent.

    Whichever question of a look it is: heartbeats come first once the database is back.
    """
    other, before, after = others
    before.fall_silent()
    questions = Questions(other, monkeypatch)
    async with run_worker(database, place(opened), stalled_s=STALLED_S):
        await before.loses_it()
        questions.hang(question)
        async with patience("for the question that hangs"):
            await questions.hangs.wait()
        other.fall_silent()
        with away(database):
            await asyncio.sleep(AWAY_S)  # so long it is away
        questions.back.set()
        async with patience("for the answers"):
            await questions.beats.wait()
        after.fall_silent()
        await after.loses_it()
        assert other.has_it()
