"""A server that is away, be it for hours: requests are refused, and the process waits for it."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.domain.commands.jobs import CreateJob
from ledger.domain.errors.store import StoreUnreachable
from ledger.domain.events.jobs import job_stream
from ledger.domain.outcomes import outcome_of
from ledger.store.postgres import connections as pg_connecting
from ledger.store.postgres import session as pg_session
from tests.support.opened import CALLER, Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import PostgresServer, server_of_its_own
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME

HOURS_S = 5 * 60 * 60


class Leaping:
    """The clock of the session, which a test sets on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Leaping:
    clock = Leaping()
    for module in (pg_session, pg_connecting):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One for each time that the writing session tried to connect."""
    tries: list[str] = []
    really = pg_session.connect

    def connect(url: str) -> pg_session.PgConnection:
        tries.append(url)
        return really(url)

    monkeypatch.setattr(pg_session, "connect", connect)
    return tries


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with server_of_its_own() as server:
        yield server


def test_it_is_waited_for_however_long(
    server: PostgresServer, clock: Leaping, tries: list[str]
) -> None:
    with in_postgres(server.new_ledger()) as opened, ThreadPoolExecutor(1) as threads:
        opened.do(CreateJob(ME, "before", "x"))
        tries.clear()
        server.stop()
        doing = threads.submit(opened.ledger.execute_blocking, CreateJob(ME, "kept", "x"), CALLER)
        wait_for("some tries", lambda: len(tries) > 3)
        clock.ahead_s = HOURS_S
        tries.clear()
        wait_for("more tries, hours later", lambda: len(tries) > 3)
        check_refused_at_once(opened)
        assert opened.failures == []
        assert not doing.done()
        server.start_again()
        doing.result(PATIENCE_S)
        opened.do(CreateJob(ME, "after", "x"))
        for job in ("before", "kept", "after"):
            assert opened.current(job_stream(job)) is not None
        assert opened.current(job_stream("refused")) is None
        assert opened.failures == []


def check_refused_at_once(opened: Opened) -> None:
    """No requests pile up: they would be refused after a while in any case."""
    with pytest.raises(StoreUnreachable) as refused:
        asyncio.run(opened.ledger.execute(CreateJob(ME, "refused", "x"), CALLER))
    assert outcome_of(refused.value) == "not-recorded"
    with pytest.raises(StoreUnreachable):
        asyncio.run(opened.ledger.write(lambda cursor: None))


def test_a_process_that_stops_meanwhile_does_not_wait(
    server: PostgresServer, tries: list[str]
) -> None:
    with in_postgres(server.new_ledger()) as opened, ThreadPoolExecutor(1) as threads:
        tries.clear()
        server.stop()
        doing = threads.submit(opened.ledger.execute_blocking, CreateJob(ME, "j", "x"), CALLER)
        wait_for("some tries", lambda: len(tries) > 3)
        opened.ledger.stop_waiting()
        assert isinstance(doing.exception(PATIENCE_S), StoreUnreachable)
        assert opened.failures == []
        server.start_again()
