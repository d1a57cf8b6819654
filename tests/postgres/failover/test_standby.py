"""Synchronous commits: acknowledged only once the standby has them, and executed once.

Meanwhile the wait is cancelled, the connection is lost, or one of the servers is.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import psutil
import psycopg
import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.domain.errors.store import StoreFailed, StoreUnreachable
from ledger.domain.events.jobs import job_stream
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.store import PostgresStore
from tests.support.cluster import Cluster, cluster
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME

DONE = 70
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'relation'"
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '{}%'"


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as servers:
        yield servers


@pytest.fixture
def opened(servers: Cluster, tmp_path: Path) -> Iterator[Opened]:
    """A ledger with a job that is under way, whose standby is there."""
    if not servers.standby.processes():
        servers.add_standby()
    servers.primary.execute("DROP DATABASE IF EXISTS ledger WITH (FORCE)")
    servers.primary.execute("CREATE DATABASE ledger")
    with in_postgres(servers.url) as opened:
        opened.do(CreateJob(ME, "job", "x"), StartAttempt("job", 1, "w"))
        yield opened
        servers.standby.resume()


def begun(work: Callable[[], object]) -> "Future[object]":
    """What a thread is doing; its outcome, once it has one."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is looked at
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def update(opened: Opened) -> "Future[object]":
    return begun(lambda: opened.do(UpdateProgress("job", 1, DONE, DONE, 100, DONE)))


def waiting(servers: Cluster, query: str = "COMMIT") -> int:
    """The process of the session that waits for the standby."""

    def find() -> int | None:
        found = servers.primary.execute(WAITING.format(query))
        return int(str(found[0][0])) if found else None

    return wait_for("for a commit that waits", find)


def check_done_once(opened: Opened) -> None:
    job = opened.current(job_stream("job"))
    assert isinstance(job, Job)
    assert job.bytes_done == DONE
    with opened.ledger.log() as log:
        assert log.count() == log.last_position() == 3
    assert opened.replay().divergence is None
    assert opened.failures == []


def test_a_cancelled_wait_acknowledges_nothing(opened: Opened, servers: Cluster) -> None:
    """PostgreSQL then says that it is committed, and warns."""
    servers.standby.pause()
    answered = update(opened)
    servers.primary.execute(f"SELECT pg_cancel_backend({waiting(servers)})")
    waiting(servers, "UPDATE leaf_count")
    assert not answered.done()
    servers.standby.resume()
    answered.result(PATIENCE_S)
    check_done_once(opened)


def test_a_commit_on_one_server_alone_is_not_acknowledged(opened: Opened, servers: Cluster) -> None:
    """It comes back with the commit, but the standby that waits to take its place has it not."""
    servers.standby.stop()
    answered = update(opened)
    waiting(servers)
    servers.primary.kill()
    servers.primary.start()
    waiting(servers, "UPDATE leaf_count")
    assert servers.primary.execute("SELECT 1") == [(1,)]
    assert not answered.done()
    servers.standby.start()
    answered.result(PATIENCE_S)
    check_done_once(opened)


def test_a_connection_that_is_cut_while_it_waits(opened: Opened, servers: Cluster) -> None:
    """The session still commits; it is asked only when it is over."""
    servers.standby.pause()
    answered = update(opened)
    waiting(servers)
    cut(opened)
    wait_for("for the loss to be noticed", lambda: writer(opened).lost)
    assert not answered.done()
    servers.standby.resume()
    answered.result(PATIENCE_S)
    check_done_once(opened)


def test_a_connection_that_is_cut_before_it_commits(opened: Opened, servers: Cluster) -> None:
    """The session still has the batch and finishes it: nobody decides again meanwhile."""
    with psycopg.connect(servers.url, target_session_attrs="read-write") as other:
        other.execute("LOCK TABLE projection_head")
        answered = begun(lambda: opened.do(CreateJob(ME, "another", "x")))
        wait_for("for the batch", lambda: servers.primary.execute(BLOCKED))
        cut(opened)
        wait_for("for the loss to be noticed", lambda: writer(opened).lost)
        assert not answered.done()
    answered.result(PATIENCE_S)
    with opened.ledger.log() as log:
        assert log.count() == 3


def cut(opened: Opened) -> None:
    """Ends the writer's connection on this side; the server is not told."""
    with socket.socket(fileno=os.dup(writer(opened).raw.fileno())) as connection:
        connection.shutdown(socket.SHUT_RDWR)


def writer(opened: Opened) -> PgConnection:
    store = opened.store
    assert isinstance(store, PostgresStore)
    return store._session.connection


def test_a_commit_that_only_the_dead_primary_had_is_written_again(
    opened: Opened, servers: Cluster
) -> None:
    servers.standby.stop()
    answered = update(opened)
    waiting(servers)
    servers.primary.kill()
    servers.standby.start()
    servers.standby.promote()
    servers.swap()
    answered.result(PATIENCE_S)
    check_done_once(opened)


def test_a_commit_that_the_standby_has_is_not_written_again(
    opened: Opened, servers: Cluster
) -> None:
    """The primary dies before it can say that it is done."""
    servers.standby.pause()
    answered = update(opened)
    psutil.Process(waiting(servers)).send_signal(signal.SIGSTOP)
    servers.standby.resume()
    wait_for("for the standby to have all", lambda: has_all(servers))
    servers.fail_over()
    answered.result(PATIENCE_S)
    check_done_once(opened)


def has_all(servers: Cluster) -> bool:
    found = servers.primary.execute(
        "SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
    )
    return bool(found)


def test_of_other_writes_it_is_found_out_too(opened: Opened, servers: Cluster) -> None:
    """A table is no event: whether the standby has it is told by the writer's mark."""
    servers.standby.pause()
    answered = begun(
        lambda: opened.ledger.exclusive(
            lambda cursor: cursor.execute("CREATE TABLE extra (x bigint)")
        ).result()
    )
    waiting(servers)
    servers.primary.kill()
    servers.standby.resume()
    servers.standby.promote()
    servers.swap()
    refused = answered.exception(PATIENCE_S)
    with psycopg.connect(servers.url, target_session_attrs="read-write") as connection:
        found = connection.execute("SELECT to_regclass('extra') IS NOT NULL").fetchone()
    assert found == (refused is None,)
    assert refused is None or type(refused) is StoreUnreachable
    update(opened).result(PATIENCE_S)
    check_done_once(opened)


def test_a_node_leaves_a_server_that_becomes_read_only(opened: Opened, servers: Cluster) -> None:
    """As in a switchover; connections may stay, but nothing is written."""
    set_read_only(servers, "on")
    try:
        answered = update(opened)
        wait_for("for the primary to refuse", lambda: writer(opened).lost)
    finally:
        set_read_only(servers, "off")
    answered.result(PATIENCE_S)
    check_done_once(opened)


def set_read_only(servers: Cluster, value: str) -> None:
    """Set it for the next transaction of every session, new or open."""
    servers.primary.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    servers.primary.execute("SELECT pg_reload_conf()")
    wait_for(
        "for the settings to be read",
        lambda: servers.primary.execute("SHOW default_transaction_read_only") == [(value,)],
    )


def test_a_standby_that_lacks_commits_is_not_used(opened: Opened, servers: Cluster) -> None:
    """If commits did not wait for it: the loss is noticed, and nothing is overwritten."""
    servers.wait_for_standby("")
    servers.standby.stop()
    update(opened).result(PATIENCE_S)
    servers.primary.kill()
    servers.standby.start()
    servers.standby.promote()
    servers.swap()
    with pytest.raises(StoreFailed, match="up to 3 were acknowledged"):
        opened.do(CreateJob(ME, "another", "x"))
    assert len(opened.failures) == 1
