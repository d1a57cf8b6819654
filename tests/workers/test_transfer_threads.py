"""Threads in which requests read and write images, while a pool hangs."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from ledger.domain.errors.pools import PoolSilent
from ledger.workers import transfer_threads
from ledger.workers.transfer_threads import LASTING_THREADS, TransferThreads
from tests.support.wait import PATIENCE_S, wait_until

SHORT_S = 0.05


class HangingPool:
    """Threads of a pool, and work that ends when a test says so."""

    def __init__(self) -> None:
        self.threads = TransferThreads(["nfs"])
        self.answers = threading.Event()

    def hang(self) -> str:
        assert self.answers.wait(PATIENCE_S)
        return "late"


@pytest.fixture
def pool() -> Iterator[HangingPool]:
    pool = HangingPool()
    yield pool
    pool.answers.set()
    pool.threads.close()


async def test_what_follows_an_error_is_done_once_the_pool_answers(
    pool: HangingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though all threads hang, and whoever waited has gone on."""
    monkeypatch.setattr(transfer_threads, "PROMPT_S", SHORT_S)
    monkeypatch.setattr(transfer_threads, "LASTING_S", SHORT_S)
    done = threading.Event()
    for _ in range(LASTING_THREADS):
        with pytest.raises(PoolSilent):
            await pool.threads.run("nfs", pool.hang, lasting=True)
    await pool.threads.clean_up("nfs", done.set)
    assert not done.is_set()
    pool.answers.set()
    await wait_until("it is cleaned up", done.is_set)


async def test_what_came_just_when_nobody_waited_any_more_is_undone_in_a_thread(
    pool: HangingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the event loop."""
    begun: list[Future[str]] = []
    undone_by: list[str] = []
    submit = ThreadPoolExecutor.submit

    def note(self: ThreadPoolExecutor, *given: Any) -> Future[str]:
        begun.append(submit(self, *given))
        return begun[-1]

    monkeypatch.setattr(ThreadPoolExecutor, "submit", note)

    def undo(_: str) -> None:
        undone_by.append(threading.current_thread().name)

    running = asyncio.create_task(pool.threads.run("nfs", pool.hang, undo=undo))
    await wait_until("it has begun", lambda: begun)
    pool.answers.set()
    begun[0].result(PATIENCE_S)  # of which the event loop has not heard yet
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await wait_until("it is undone", lambda: undone_by)
    assert undone_by[0].startswith("transfer-nfs")
