"""Whoever misses a pool asks the database, and those who ask at once do so together."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from ledger.workers import worker_registry
from ledger.workers.worker_registry import WorkerRegistry
from tests.support.wait import PATIENCE_S, wait_until


class Reader:
    """A database that answers when the test says so."""

    def __init__(self) -> None:
        self.reads = 0
        self.answers = threading.Event()

    def read(self, _: object) -> list[object]:
        self.reads += 1
        assert self.answers.wait(PATIENCE_S)
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr(worker_registry, "postgres_reader", lambda _: reader)
    return reader


@pytest.fixture
def registry(reader: Reader) -> Iterator[WorkerRegistry]:
    registry = WorkerRegistry("never connected")
    yield registry
    reader.answers.set()
    registry.close()


async def test_those_who_look_at_once_share_a_look(
    registry: WorkerRegistry, reader: Reader
) -> None:
    """But none that had begun before they asked: it may not see what they miss."""
    first = registry.look()
    await wait_until("the first has begun", lambda: first.has_begun)
    later = [registry.look() for _ in range(50)]
    reader.answers.set()
    await first
    for each in later:
        await each
    assert reader.reads == 2
    await registry.look()
    assert reader.reads == 3


async def test_who_goes_away_ends_only_their_own_wait(
    registry: WorkerRegistry, reader: Reader
) -> None:
    async def look() -> None:
        await registry.look()

    begun = registry.look()
    await wait_until("a look has begun", lambda: begun.has_begun)
    gone, stays = asyncio.create_task(look()), asyncio.create_task(look())
    await asyncio.sleep(0)  # both wait now
    gone.cancel()
    await asyncio.wait([gone])
    reader.answers.set()
    await begun
    await stays
    assert (gone.cancelled(), reader.reads) == (True, 2)
