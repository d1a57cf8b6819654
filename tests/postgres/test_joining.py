"""Nodes that start: at the same time, during a move, or with outdated rows."""

import psycopg
import pytest

from ledger.domain.commands.jobs import CreateJob
from ledger.domain.errors.store import StoreFailed
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres.connections import connect
from ledger.store.postgres.store import PostgresStore
from projections.tables import SCHEMA_VERSION
from projections.views.postgres_writer import PostgresProjection
from tests.postgres.nodes import Nodes, at_once
from tests.support.postgres import PostgresServer
from tests.support.world import ME


@pytest.mark.parametrize("round_", range(3))
def test_nodes_that_start_at_the_same_time(postgres: PostgresServer, round_: int) -> None:
    """The tables are made once, whoever comes first; all of them have the ledger then."""
    url = postgres.new_database()
    stores = at_once(*[lambda: PostgresStore(url, PostgresProjection())] * 6)
    try:
        for store in stores:
            assert isinstance(store, PostgresStore)
            with store.log() as log:
                assert log.count() == 0
    finally:
        for store in stores:
            store.close()  # type: ignore[attr-defined]


def test_a_move_excludes_nodes(database: str) -> None:
    """It waits for the nodes that there are, and while it is under way none begins."""
    nodes = [PostgresStore(database, PostgresProjection()) for _ in range(2)]
    with connect(database).raw as moving:
        row = moving.execute("SELECT pg_try_advisory_lock(%s)", (pg_locks.HAVING,)).fetchone()
        assert row == (False,)
    for node in nodes:
        node.close()
    with connect(database).raw as moving:
        row = moving.execute("SELECT pg_try_advisory_lock(%s)", (pg_locks.HAVING,)).fetchone()
        assert row == (True,)
        with pytest.raises(StoreFailed, match="being moved"):
            PostgresStore(database, PostgresProjection())


def test_an_outdated_node_stops(nodes: Nodes, database: str) -> None:
    """Where another has given the rows another version it must not write its own."""
    one, _ = nodes
    one.do(CreateJob(ME, "j", "x"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE projection_head SET shape = %s, generation = generation + 1",
            (SCHEMA_VERSION + 1,),
        )
    with pytest.raises(StoreFailed, match="out of date"):
        one.do(CreateJob(ME, "k", "x"))
    assert [type(failure) for failure in one.failures] == [StoreFailed]
    one.failures.clear()
