"""The server restarts or ends connections: nothing is lost, and nothing is done twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from time import sleep

import psycopg
import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.domain.errors.store import CommitFailed, StoreUnreachable
from ledger.domain.events.jobs import job_stream
from ledger.store.postgres import connections as pg_connecting
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.session import WritingSession
from ledger.store.postgres.store import PostgresStore
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import end_connections
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME

UPDATES = 200
ENDED = 20
PAUSE_MOST_S = 0.02
"""From an acknowledged update to the next interference; without one, nothing would ever be done."""


@pytest.fixture
def opened(database: str) -> Iterator[Opened]:
    with in_postgres(database) as opened:
        yield opened


def test_an_idle_ledger_survives(opened: Opened, database: str) -> None:
    """Writing and reading, over connections that were lost meanwhile."""
    opened.do(CreateJob(ME, "before", "x"))
    assert end_connections(database) >= 2
    opened.do(CreateJob(ME, "after", "x"))
    end_connections(database)
    assert opened.ledger.exclusive(
        lambda cursor: cursor.execute("SELECT 7").fetchone()
    ).result() == (7,)
    for _ in range(2):
        assert opened.ledger.read(lambda cursor: cursor.execute("SELECT 7").fetchone()) == (7,)
        end_connections(database)
    with opened.snapshot() as snapshot:
        assert snapshot.count_jobs(ME, None) == 2
    assert opened.failures == []
    assert opened.replay().divergence is None


def test_commands_sent_meanwhile_are_recorded_once(opened: Opened, database: str) -> None:
    """Each update is acknowledged, is there, and is there once, however often connections end."""
    opened.do(CreateJob(ME, "job", "x"), StartAttempt("job", 1, "w"))
    ended: list[int] = []
    acknowledged = Event()
    stop = False
    updates = 0

    def interfere() -> None:
        while not stop:
            acknowledged.wait()
            acknowledged.clear()
            sleep(len(ended) % 10 / 10 * PAUSE_MOST_S)  # to hit each moment of an update
            ended.append(end_connections(database))

    interfering = Thread(target=interfere)
    interfering.start()
    try:
        while updates < UPDATES or sum(ended) <= ENDED:
            updates += 1
            opened.do(UpdateProgress("job", 1, 50, updates, 2**20, updates))
            acknowledged.set()
    finally:
        stop = True
        acknowledged.set()
        interfering.join()
    job = opened.current(job_stream("job"))
    assert isinstance(job, Job)
    assert job.bytes_done == updates
    with opened.ledger.log() as log:
        assert log.count() == 2 + updates
    assert opened.failures == []
    assert opened.replay().divergence is None


def test_nothing_is_looked_for_before_the_old_session_is_over(
    opened: Opened, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it may commit: what is not there yet would be taken for lost."""
    tries: list[Exception] = []
    take_locks = WritingSession._take_locks

    def take_locks_seen(session: WritingSession, connection: PgConnection) -> None:
        try:
            take_locks(session, connection)
        except StoreUnreachable as error:
            tries.append(error)
            raise

    monkeypatch.setattr(WritingSession, "_take_locks", take_locks_seen)
    assert isinstance(opened.store, PostgresStore)
    writer = opened.store._session.marks.writer
    with psycopg.connect(database) as old, ThreadPoolExecutor(1) as threads:
        opened.store._session.connection.close()
        old.execute("SELECT pg_advisory_lock(%s)", (writer,))
        doing = threads.submit(opened.do, CreateJob(ME, "job", "x"))
        wait_for("some tries", lambda: len(tries) > 3)
        assert not doing.done()
        old.close()
        doing.result(PATIENCE_S)
    assert "the session before this one has not ended" in str(tries[-1])


def test_a_mark_that_cannot_be_read_leaves_it_open(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is there, and refuses again and again: it is not waited for as for a lost one.

    The process stops: the mark of what comes next would be that of what is in doubt.
    """
    assert isinstance(opened.store, PostgresStore)
    session = opened.store._session

    def lose(*_: object) -> None:
        session.connection.close()
        raise psycopg.OperationalError("the connection is lost")

    def refuse(*_: object) -> bool:
        raise psycopg.errors.IoError("could not read")

    monkeypatch.setattr(pg_connecting, "REPEAT_S", 0)
    monkeypatch.setattr(session, "settle", lose)
    monkeypatch.setattr(session.marks, "find_out", refuse)
    with pytest.raises(CommitFailed, match="could not read"):
        opened.do(CreateJob(ME, "job", "x"))
    assert len(opened.failures) == 1


def test_the_marks_of_dead_writers_go(opened: Opened, database: str) -> None:
    """After a day of the store's clock, which stands still here; nobody goes by the server's.

    Whoever was only silent for so long marks its next transaction as before.
    """
    opened.do(CreateJob(ME, "first", "x"))
    with in_postgres(database):
        assert marks(database) == [1]
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE writers SET at = at - interval '25 hours'")
    with in_postgres(database):
        assert marks(database) == []
    end_connections(database)
    opened.do(CreateJob(ME, "second", "x"))
    opened.ledger.exclusive(lambda _: None).result()
    assert marks(database) == [3]
    with in_postgres(database):
        assert marks(database) == [3]


def marks(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return [mark for (mark,) in connection.execute("SELECT mark FROM writers").fetchall()]
