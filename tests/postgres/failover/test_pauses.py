"""A node is paused while it holds a lock: how long others wait, and for what."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import psycopg
import pytest

from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.domain.errors.jobs import ProgressWentBack
from ledger.domain.errors.store import PauseLost, StoreUnreachable
from ledger.domain.outcomes import outcome_of
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres import session as pg_session
from ledger.store.postgres import store as postgres
from ledger.store.postgres.connections import connect
from ledger.store.postgres.session import WritingSession
from ledger.store.postgres.store import PostgresStore
from projections.views.generations import live_generation
from projections.views.postgres_writer import PostgresProjection
from tests.postgres.nodes import Nodes
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME


def test_a_node_paused_in_a_batch_does_not_block_others_for_long(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction; once it continues it starts over, and does nothing twice."""
    monkeypatch.setattr(pg_session, "TRANSACTION_S", 1)
    paused, go_on = Event(), Event()
    really = postgres.tasks.defer

    def pause(*given: Any) -> None:
        really(*given)
        if not paused.is_set():
            paused.set()
            assert go_on.wait(PATIENCE_S)

    with (
        in_postgres(database) as one,
        in_postgres(database) as two,
        ThreadPoolExecutor(1) as thread,
    ):
        one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
        monkeypatch.setattr(postgres.tasks, "defer", pause)
        late = thread.submit(one.do, UpdateProgress("j", 1, 10))
        assert paused.wait(PATIENCE_S)
        two.do(UpdateProgress("j", 1, 20))
        assert not go_on.is_set()
        go_on.set()
        with pytest.raises(ProgressWentBack):
            late.result(PATIENCE_S)
        assert one.replay().divergence is None


def test_a_writer_that_waits_for_its_server_is_not_stuck(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager must not end a process whose primary, or standby, is away: it reads."""
    paused, go_on = Event(), Event()
    really = postgres.tasks.defer

    def pause(*given: Any) -> None:
        paused.set()
        assert go_on.wait(PATIENCE_S)
        really(*given)

    monkeypatch.setattr(postgres.tasks, "defer", pause)
    with in_postgres(database) as node, ThreadPoolExecutor(1) as thread:
        recorded = thread.submit(node.do, CreateJob(ME, "j", "x"))
        assert paused.wait(PATIENCE_S)
        assert node.ledger.stuck_s == 0
        go_on.set()
        recorded.result(PATIENCE_S)


def test_a_node_paused_in_exclusive_work_loses_it(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr(pg_session, "TRANSACTION_S", 1)
    paused, woken = Event(), Event()

    def pause(cursor: Any) -> None:
        paused.set()
        assert woken.wait(PATIENCE_S)

    one = PostgresStore(database, PostgresProjection())
    monkeypatch.undo()  # who waits for it has more time
    two = PostgresStore(database, PostgresProjection())
    with ThreadPoolExecutor(1) as threads:
        doing = threads.submit(one.exclusive, pause)
        try:
            assert paused.wait(PATIENCE_S)
            two.exclusive(lambda cursor: cursor.execute("DELETE FROM hourly_keys"))
        finally:
            woken.set()
        with pytest.raises(StoreUnreachable):
            doing.result()
    one.exclusive(lambda cursor: cursor.execute("DELETE FROM hourly_keys"))
    for store in (one, two):
        store.close()


def test_a_node_paused_in_a_batch_blocks_only_the_flip(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """Not those who would append behind the flip."""
    monkeypatch.setattr(pg_session, "TRANSACTION_S", 1)
    one, two = nodes
    with connect(database).raw as paused, ThreadPoolExecutor(1) as threads:
        with paused.transaction():
            paused.execute("SELECT pg_advisory_xact_lock_shared(%s)", (pg_locks.APPENDING,))
            flip = threads.submit(one.ledger.exclusive, lambda _: None, afterwards=lambda: None)
            two.do(CreateJob(ME, "j", "x"))
            with pytest.raises(StoreUnreachable):
                flip.result().result()
            two.do(CreateJob(ME, "k", "x"))
        one.ledger.exclusive(lambda _: None, afterwards=lambda: None).result()


def lose_the_answer_to_the_flip(node: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost once work has been committed for which others pause."""
    assert isinstance(node.store, PostgresStore)
    session, others, settle = node.store._session, node.store.others, WritingSession.settle

    def settle_unless_paused(session: WritingSession) -> None:
        if others._pausing is session.connection:
            session.connection.close()
            raise psycopg.OperationalError("the connection is lost")
        settle(session)

    monkeypatch.setattr(session, "settle", lambda: settle_unless_paused(session))


def test_work_whose_pause_was_lost_is_recorded(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and says so; what was to follow it undisturbed does not follow."""
    one, _ = nodes
    lose_the_answer_to_the_flip(one, monkeypatch)
    followed: list[int] = []
    commits = one.ledger.commits
    work = one.ledger.exclusive(
        lambda cursor: cursor.execute("CREATE TABLE done (number bigint)"),
        afterwards=lambda: followed.append(1),
    )
    with pytest.raises(PauseLost, match="it was recorded") as lost:
        work.result(PATIENCE_S)
    assert outcome_of(lost.value) == "recorded"
    one.ledger.exclusive(lambda cursor: cursor.execute("INSERT INTO done VALUES (1)")).result()
    assert followed == []
    assert one.ledger.commits == commits + 2
    assert one.failures == []


def test_a_rebuild_whose_flip_lost_its_pause_is_done(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    lose_the_answer_to_the_flip(one, monkeypatch)
    with pytest.raises(PauseLost):
        one.rebuild()
    monkeypatch.undo()
    assert one.ledger.read(live_generation) == 2
    for node in nodes:
        node.do(UpdateProgress("j", 1, 50))
    assert one.rows() == two.rows()
    assert one.replay().divergence is None
    rebuilt = one.rebuild()
    assert rebuilt.before == rebuilt.after


def test_others_wait_for_a_commit_that_waits_for_its_standby(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those behind it wait too, be it for longer than a transaction may last."""
    monkeypatch.setattr(pg_session, "TRANSACTION_S", 1)
    confirmed: list[WritingSession] = []
    confirm = WritingSession.confirm

    def confirm_seen(session: WritingSession) -> None:
        confirmed.append(session)
        confirm(session)

    with (
        in_postgres(database) as one,
        connect(database).raw as waiting,
        ThreadPoolExecutor(1) as threads,
    ):
        with waiting.transaction():
            waiting.execute("UPDATE leaf_count SET position = position")
            monkeypatch.setattr(WritingSession, "confirm", confirm_seen)
            doing = threads.submit(one.do, CreateJob(ME, "j", "x"))
            wait_for("for two transactions to be ended", lambda: len(confirmed) >= 3)
        doing.result()
        assert one.failures == []
