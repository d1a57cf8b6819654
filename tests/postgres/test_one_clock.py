"""Machines whose clocks are wrong: the database's is the only one that counts."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from api.data.location import PostgresDatabase
from api.doctor.checks import clock_of, examine
from api.service.clocks import Clocks
from api.service.ids import new_id
from ledger.archives import Shelf
from ledger.codec import decode
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.errors.store import NoStoreTime
from ledger.store.clock import TICK
from ledger.store.patience import STAMP_S
from ledger.store.postgres.store import PostgresStore
from ledger.store.seam import Batch, StampsRefused, Store
from projections.maintenance.retention.service import ClockMoved, Retention
from projections.time_travel.past import Past
from projections.views.activity import read_activity
from projections.views.generations import InlineProjection
from tests.postgres.nodes import make_drive
from tests.retention.conftest import Clock
from tests.retention.telling import DAYS, family, jobs
from tests.support.opened import Opened
from tests.support.opened_postgres import InPostgres, retained_in_postgres
from tests.support.postgres import PostgresServer
from tests.support.world import ME, Foreseen

HOUR = timedelta(hours=1)
WRONG = [sign * hours * HOUR for hours in (2, 96) for sign in (-1, 1)]


class Node(InPostgres):
    """A node of a ledger in real time, on a machine whose clock is off."""

    def __init__(self, url: str, off: timedelta = timedelta(0)) -> None:
        self.url = url
        super().__init__(
            Path("no file"),
            environment=Foreseen(prefix=f"off-by-{off}"),
            now=lambda: datetime.now(UTC) + off,
        )

    def open_store(self, projection: InlineProjection) -> Store:
        return PostgresStore(self.url, projection)

    def retention(self, archives: Path) -> Retention:
        clock = self.ledger.clock
        return Retention(
            self.ledger, archives, now=clock.now, new_id=new_id, clocks=Clocks(clock, new_id)
        )


@contextmanager
def server_time(url: str) -> Iterator[list[datetime]]:
    """Yield the server's time before and, afterwards, also after the block."""
    with psycopg.connect(url, autocommit=True) as connection:

        def read() -> datetime:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            return datetime.fromisoformat(str(row[0])).astimezone(UTC)

        times = [read()]
        yield times
        times.append(read())


def stamps(node: Opened) -> list[datetime]:
    with node.ledger.log() as log:
        return [decode(event.topic, event.state).recorded_at for event in log.events()]


def work(node: Opened, job: str) -> None:
    """Do a job as its worker does."""
    node.do(StartAttempt(job, 1, "w"), UpdateProgress(job, 1, 50), SucceedJob(job, 1))


class Recorded(NamedTuple):
    """What a node whose clock is right and one whose clock is not have recorded in turn.

    Three jobs have ended, and two run. `began` and `ended` are the server's time before and after.
    """

    nodes: tuple[Node, Node]
    began: datetime
    ended: datetime


@pytest.fixture(scope="module", params=WRONG, ids=str)
def recorded(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Recorded]:
    url = postgres.new_ledger()
    with Node(url) as right, Node(url, request.param) as wrong:
        with server_time(url) as times:
            for number in range(3):
                right.do(CreateJob(ME, f"job-{number}", "x"))
                work(wrong, f"job-{number}")
            right.do(CreateJob(ME, "one more", "x"))
            wrong.do(CreateJob(ME, "another", "x"))
        yield Recorded((right, wrong), *times)
        assert right.failures == wrong.failures == []
    postgres.drop(url)


def test_all_stamps_are_the_databases(recorded: Recorded) -> None:
    """In their order, whichever node records."""
    given = stamps(recorded.nodes[0])
    assert all(earlier < later for earlier, later in pairwise(given))
    assert recorded.began <= given[0] <= given[-1] <= recorded.ended


def test_the_past_is_right(recorded: Recorded, tmp_path: Path) -> None:
    """At the moment of each event, and just before it, at either node; and the head from now on."""
    given = stamps(recorded.nodes[0])
    for node in recorded.nodes:
        with node.views.long_snapshot() as snapshot:
            for nth, stamp in enumerate(given, start=1):
                assert Past(snapshot, Shelf(tmp_path), stamp).position == nth
                assert Past(snapshot, Shelf(tmp_path), stamp - TICK).position == nth - 1
            assert Past(snapshot, Shelf(tmp_path), node.ledger.clock.now()).position == len(given)


def test_nothing_is_discarded_before_its_time(recorded: Recorded, tmp_path: Path) -> None:
    """By either node: three jobs have just ended, whatever their clocks show."""
    for node in recorded.nodes:
        retention = node.retention(tmp_path / "archives")
        assert retention.run().swept is None
        in_three_days = node.ledger.clock.now() + timedelta(days=3)
        assert not retention.plan(in_three_days - timedelta(days=1)).trees
        assert len(retention.plan(in_three_days).trees) == 3


def test_statistics_are_right(recorded: Recorded) -> None:
    """At either node: what has just happened is in the last hour, and ran then."""
    for node in recorded.nodes:
        with node.snapshot() as snapshot:
            told = read_activity(snapshot, ME, node.ledger.clock.now(), HOUR)
        assert sum(bucket.created for bucket in told.buckets) == 5
        assert sum(bucket.success for bucket in told.buckets) == 3
        assert [told.buckets[0].running, told.buckets[-1].running] == [0, 2]
        assert all(bucket.running >= 0 for bucket in told.buckets)


def test_a_clock_that_is_off_is_logged_once(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as it stays so; one that is right is not."""
    caplog.set_level(logging.WARNING)
    with Node(database) as right, Node(database, 2 * HOUR) as wrong:
        right.ledger.clock.ask()
        assert caplog.messages == []
        wrong.ledger.clock.ask()
        wrong.ledger.clock.ask()
        (message,) = caplog.messages
        assert re.match(r"the clock of this machine is (1:59|2:00):\d\d ahead of", message)


def test_the_doctor_names_a_machine_whose_clock_is_wrong(database: str, tmp_path: Path) -> None:
    """From a minute on; asked of the service or without one."""
    with Node(database) as right, Node(database, -2 * HOUR) as wrong:
        own = partial(datetime.now, UTC)
        for clock, problems in (
            (right.ledger.clock, 0),
            (wrong.ledger.clock, 1),
            (clock_of(PostgresDatabase(database), own), 0),
            (clock_of(PostgresDatabase(database), lambda: own() - 2 * HOUR), 1),
        ):
            reading = Clocks(clock, new_id)()
            found = examine(
                tmp_path,
                PostgresDatabase(database),
                [],
                reading=reading,
                service=None,
                archiving=False,
            )
            (check,) = (check for check in found.checks if check.name == "clock")
            assert len(check.problems) == problems
            for problem in check.problems:
                assert re.search(r"(1:59|2:00):\d\d behind the database's", problem)


@pytest.mark.parametrize("off", [timedelta(seconds=-61), HOUR], ids=str)
def test_a_process_that_stood_still_stamps_again(
    database: str, off: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stamps that are too old or too new by the time of the commit are refused, and made anew."""
    with Node(database) as node:
        read, refusals = node.ledger.clock.read, refused(node, monkeypatch)
        shown = iter([off] * 6)  # it is read for the stamp and for the transaction
        monkeypatch.setattr(node.ledger.clock, "read", lambda: read() + next(shown, timedelta(0)))
        with server_time(database) as times:
            node.do(CreateJob(ME, "job", "x"))
        assert len(refusals) == 3
        (stamp,) = stamps(node)
        assert times[0] <= stamp <= times[1]


def test_stamps_of_a_long_decision_are_accepted(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For up to a minute: a cancel of a thousand disks takes twelve seconds."""
    with Node(database) as node:
        read, refusals = node.ledger.clock.read, refused(node, monkeypatch)
        monkeypatch.setattr(node.ledger.clock, "read", lambda: read() - timedelta(seconds=12))
        node.do(CreateJob(ME, "job", "x"))
        assert refusals == []


def refused(node: Opened, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Return the batches whose stamps the store will refuse."""
    append: Callable[[Batch], int] = node.store.append
    refusals: list[Batch] = []

    def spy(batch: Batch) -> int:
        try:
            return append(batch)
        except StampsRefused:
            refusals.append(batch)
            raise

    monkeypatch.setattr(node.store, "append", spy)
    return refusals


def test_nothing_is_recorded_without_the_stores_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it cannot be told for a minute, and only as long as that lasts; in words."""
    with Node(database) as node:
        minutes = count(step=STAMP_S + 1)
        monkeypatch.setattr(node.ledger._writer._group, "_elapsed_s", lambda: next(minutes))
        with monkeypatch.context() as patch:
            patch.setattr(node.ledger.clock, "read", lambda: datetime.now(UTC) + 2 * HOUR)
            for _ in range(2):
                with pytest.raises(NoStoreTime, match="nothing was recorded: the database's clock"):
                    node.do(CreateJob(ME, "job", "x"))
        assert stamps(node) == []
        node.do(CreateJob(ME, "job", "x"))
        assert len(stamps(node)) == 1


def test_a_machine_that_was_asleep_has_not_set_the_clock(database: str, tmp_path: Path) -> None:
    """Its monotonic clock stood still: what it knows of the database's is behind until it asks."""
    with Node(database) as node:
        retention = node.retention(tmp_path / "archives")
        node.do(CreateJob(ME, "job", "x"))
        retention.run()
        assert isinstance(node.store, PostgresStore)
        said = node.store._clock._said
        assert said is not None
        node.store._clock._said = said._replace(time=said.time - 2 * HOUR)
        assert retention.run().swept is None


def test_nothing_is_discarded_while_the_databases_clock_is_behind(
    database: str, tmp_path: Path
) -> None:
    """Time stands still then, for all nodes, and goes on once the clock has caught up."""
    clock = Clock()
    opening = retained_in_postgres(database)
    with opening(tmp_path / "none", clock, acts="one") as one:
        family(one, "a")
        clock.advance(days=DAYS + 1)
        make_drive(one, "newest")
        newest = stamps(one)[-1]
        clock.advance(hours=-2)
        with opening(tmp_path / "none", clock, acts="two") as two:
            make_drive(two, "another")
            assert stamps(two)[-2:] == [newest + TICK, newest + 2 * TICK]
            for node in (one, two):
                with pytest.raises(ClockMoved, match="behind the newest event"):
                    node.run()
            clock.advance(hours=2)
            assert two.run().swept is not None
            assert jobs(two) == set()
