"""Leases: what one node at a time does, while all others continue."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

import projections.maintenance.rebuild
from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.domain.errors.store import StoreFailed
from ledger.store.seam import Cursor
from projections.maintenance.rebuild import AlreadyRebuilding, rebuild
from projections.views.generations import live_generation, superseded_generations
from tests.postgres.nodes import Nodes, at_once
from tests.support.postgres import end_turns
from tests.support.read_models import jobs_of
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME


def test_a_lease_is_held_by_one_node_at_a_time(nodes: Nodes) -> None:
    """While one has its turn the other is refused, and what a dead one had is free."""
    one, two = nodes
    assert one.ledger.maintenance.acquire()
    assert one.ledger.maintenance.locked()
    assert not two.ledger.maintenance.acquire()
    with pytest.raises(AlreadyRebuilding):
        two.rebuild()
    assert two.ledger.checkpointing.acquire()
    two.ledger.checkpointing.release()
    one.ledger.maintenance.release()
    assert two.ledger.maintenance.acquire()
    two.ledger.maintenance.release()


def test_a_lost_lease_is_noticed(nodes: Nodes, database: str) -> None:
    """A rebuild whose session ended does not flip: another may be at it."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"))

    def end_turn(done: int, total: int) -> None:
        assert end_turns(database) > 0

    with pytest.raises(StoreFailed):
        rebuild(one.ledger, end_turn)
    assert two.rebuild().before == two.rebuild().after


def test_a_node_that_lost_its_lease_does_not_disturb_the_new_holder(
    nodes: Nodes, database: str
) -> None:
    """The other's rebuild is under way when the first one gives up: it loses no table, no row."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"))
    lost, begun, given_up = Event(), Event(), Event()

    def lose(done: int, total: int) -> None:
        assert end_turns(database) > 0
        lost.set()
        begun.wait()

    def give_up() -> None:
        try:
            with pytest.raises(StoreFailed):
                rebuild(one.ledger, lose)
        finally:
            given_up.set()

    def go_on(done: int, total: int) -> None:
        begun.set()
        given_up.wait()

    with ThreadPoolExecutor(1) as threads:
        giving_up = threads.submit(give_up)
        lost.wait()
        rebuilt = rebuild(two.ledger, go_on)
        giving_up.result()
    assert rebuilt.before == rebuilt.after
    assert one.rows() == two.rows()


def test_a_rebuild_on_one_node_beside_writes_on_the_other(nodes: Nodes) -> None:
    """The rows are the same before and after; the other node continues in the new generation."""
    one, two = nodes
    two.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    stop = Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            two.do(UpdateProgress("j", 1, 50, written))
            two.do(CreateJob(ME, f"job-{written}", "x"))
            written += 1

    def rebuild_often() -> None:
        try:
            rebuilds = 0
            while rebuilds < 4 or written <= 4:
                rebuilt = one.rebuild()
                assert rebuilt.before == rebuilt.after
                rebuilds += 1
        finally:
            stop.set()

    outcomes = at_once(write, rebuild_often)
    assert outcomes == [None, None]
    assert one.rows() == two.rows()
    assert len(one.rows()["jobs"]) == written + 1
    assert one.replay().divergence is None


def test_a_slow_reader_blocks_only_a_rebuild(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the rows that are superseded; their tables cannot go before it is done."""
    one, two = nodes
    two.do(CreateJob(ME, "j", "x"))
    attempts: list[int] = []
    drop = projections.maintenance.rebuild.drop_indexes

    def drop_seen(cursor: Cursor, generation: int) -> None:
        attempts.append(generation)
        drop(cursor, generation)

    monkeypatch.setattr(projections.maintenance.rebuild, "drop_indexes", drop_seen)
    monkeypatch.setattr(projections.maintenance.rebuild, "READ_S", 0.05)

    def work() -> bool:
        """Whether the rebuild has begun a third attempt meanwhile."""
        two.ledger.exclusive(lambda cursor: cursor.execute("SELECT 1")).result(PATIENCE_S)
        one.do(CreateJob(ME, f"one-{one.ledger.position}", "x"))
        return len(attempts) >= 3

    with ThreadPoolExecutor(1) as threads:
        with two.views.long_snapshot() as slow:
            jobs_of(slow, ME, None, limit=1)
            rebuilding = threads.submit(one.rebuild)
            wait_for("for the flip", lambda: two.ledger.read(live_generation) == 2)
            wait_for("for attempts in vain", work)
            assert not rebuilding.done()
            assert jobs_of(slow, ME, None, limit=1)
        rebuilt = rebuilding.result()
    assert rebuilt.before == rebuilt.after
    assert two.ledger.exclusive(superseded_generations).result() == []
