"""The service discards by itself what is due."""

import asyncio
import logging
import threading
from datetime import timedelta

import pytest

import api.background.loop
import api.background.retention
from api.background.retention import discard_due
from ledger.archives import ArchiveNotWritten
from projections.maintenance.retention import compaction as compacting
from projections.maintenance.retention.service import TREES_PENDING, Ran, Retention
from projections.maintenance.retention.sweep import RetentionStopped
from tests.retention.conftest import Clock
from tests.retention.poison import poison
from tests.retention.telling import DAYS, check, family, jobs, streams
from tests.support.retained import Retained
from tests.support.turns import taken
from tests.support.wait import wait_until


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.background.retention, "START_S", 0.001)
    monkeypatch.setattr(api.background.retention, "PAUSE_S", 0.001)


@pytest.fixture
def old(kept: Retained, clock: Clock) -> Retained:
    """One tree that is due."""
    family(kept, "a")
    clock.advance(days=DAYS, seconds=1)
    return kept


@pytest.fixture
def asked(old: Retained) -> list[None]:
    """One for each time that what is due was to be discarded."""
    asked: list[None] = []
    run_if_worthwhile = old.retention.run_if_worthwhile

    def counted() -> Ran:
        asked.append(None)
        return run_if_worthwhile()

    old.retention.run_if_worthwhile = counted  # type: ignore[method-assign]
    return asked


def said(caplog: pytest.LogCaptureFixture, word: str) -> int:
    return sum(word in record.getMessage() for record in caplog.records)


@pytest.mark.usefixtures("often")
async def test_what_is_due_goes_again_and_again(
    old: Retained, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """One line tells of each time that there was something; until it is left."""
    with caplog.at_level(logging.INFO, "api.background.retention"):
        async with discard_due(old.retention):
            await wait_until("for the jobs to go", lambda: jobs(old) == set())
            family(old, "b")
            clock.advance(days=DAYS, seconds=1)
            await wait_until("for the second line", lambda: said(caplog, "discarded") == 2)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("discarded 2 jobs in 1 tree, and 0 other streams")
    assert len([line for line in lines if "discarded" in line]) == len(lines) == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nobody discards any more"
    family(old, "c")
    clock.advance(days=DAYS, seconds=1)
    check(old)
    assert jobs(old) == {"c", "c-below"}


async def test_a_pause_is_an_hour_and_the_first_time_is_soon(
    old: Retained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start has enough to do."""
    pauses: list[tuple[float, set[str]]] = []

    async def pause(stopping: asyncio.Event, seconds: float) -> None:
        """None, but for the third."""
        pauses.append((seconds, jobs(old)))
        if len(pauses) == 3:
            await stopping.wait()

    monkeypatch.setattr(api.background.retention, "START_S", 10)
    monkeypatch.setattr(api.background.loop, "_pause", pause)
    async with discard_due(old.retention):
        await wait_until("for the third pause", lambda: len(pauses) == 3)
    assert pauses == [(10, {"a", "a-below"}), (3600, set()), (3600, set())]


@pytest.mark.usefixtures("often")
async def test_a_clock_that_was_set_is_told_of_once(
    old: Retained, asked: list[None], caplog: pytest.LogCaptureFixture
) -> None:
    """Loudly; when it is confirmed, things go on."""
    old.retention.confirm_clock()
    old.clock_error = timedelta(hours=2)
    async with discard_due(old.retention):
        await wait_until("for more times", lambda: len(asked) > 5)
        assert said(caplog, "the wall clock was set forward by 2:00:00") == 1
        assert caplog.records[0].levelno == logging.CRITICAL
        assert jobs(old) == {"a", "a-below"}
        old.retention.confirm_clock()
        await wait_until("for the jobs to go", lambda: jobs(old) == set())


@pytest.mark.usefixtures("often")
async def test_what_is_busy_is_tried_again(old: Retained, caplog: pytest.LogCaptureFixture) -> None:
    """A rebuild is in the way: nothing is wrong."""
    with caplog.at_level(logging.INFO, "api.background.retention"):
        with taken(old.ledger.maintenance):
            async with discard_due(old.retention):
                await wait_until("for the line", lambda: said(caplog, "under way") > 0)
        assert {record.levelno for record in caplog.records} == {logging.INFO}
    assert jobs(old) == {"a", "a-below"}


@pytest.mark.usefixtures("often")
async def test_an_archive_that_cannot_be_written_is_tried_again(
    old: Retained, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, without a traceback; nothing is lost."""
    write, failures = compacting.write_archive, [ArchiveNotWritten("a.part: no space left")]

    def fail_first(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compacting, "write_archive", fail_first)
    monkeypatch.setattr("projections.maintenance.retention.service.TREES_PENDING", 1)
    async with discard_due(old.retention):
        await wait_until("for the streams to go", lambda: streams(old) == set())
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "no space left" in error.getMessage()
    assert error.exc_info is None
    check(old)


@pytest.mark.usefixtures("often")
async def test_what_is_parked_is_told_of(
    old: Retained, asked: list[None], caplog: pytest.LogCaptureFixture
) -> None:
    """Once: it is not tried again."""
    poison(old, "job-a")
    async with discard_due(old.retention):
        await wait_until("for the line", lambda: said(caplog, "job-a cannot be read and stays") > 0)
        before = len(asked)
        await wait_until("for more times", lambda: len(asked) > before + 5)
    assert said(caplog, "job-a cannot be read and stays") == 1


def test_an_archive_is_begun_for_many(kept: Retained, clock: Clock) -> None:
    """Or for what has waited for a day."""
    family(kept, "a")
    clock.advance(days=DAYS, seconds=1)
    assert kept.retention.run_if_worthwhile().compacted is None
    clock.advance(hours=23)
    assert kept.retention.run_if_worthwhile().compacted is None
    clock.advance(hours=2)
    assert kept.retention.run_if_worthwhile().compacted is not None
    assert TREES_PENDING == 1_000


class _Stopping:
    """Lets a run go on for some steps, then says that it is to stop."""

    def __init__(self, retention: Retention, steps: int) -> None:
        self._retention = retention
        self._left = steps
        self._event = threading.Event()
        retention._stopping = self  # type: ignore[assignment]

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0

    def go_on(self) -> None:
        self._retention._stopping = self._event


@pytest.mark.thorough
def test_a_run_that_is_stopped_anywhere_is_gone_on_with(
    kept: Retained, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step of it; the next run ends what it began, and all is sound."""
    monkeypatch.setattr("projections.maintenance.retention.sweep.TREES_AT_ONCE", 1)
    monkeypatch.setattr(compacting, "DELETED_AT_ONCE", 1)
    monkeypatch.setattr(compacting, "SLICE_S", 0.00001)
    steps, stopped = 0, True
    while stopped:
        for name in ("a", "b"):
            family(kept, f"{name}{steps}")
        clock.advance(days=DAYS, seconds=1)
        stopping = _Stopping(kept.retention, steps)
        try:
            kept.run()
            stopped = False
        except RetentionStopped:
            check(kept)
        stopping.go_on()
        kept.run()
        assert jobs(kept) == streams(kept) == set()
        assert not kept.shelf.unfinished()
        steps += 9
    check(kept)
    assert steps > 30
