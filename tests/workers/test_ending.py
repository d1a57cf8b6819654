"""The end of threads that a pool may hold for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.workers import ending
from ledger.workers.ending import end_threads
from tests.support.wait import PATIENCE_S, wait_for


def test_what_is_under_way_is_finished_unless_a_pool_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is left then, and so is what waits behind it; all others finish."""
    monkeypatch.setattr(ending, "ENDS_S", 0.05)
    answers, done = threading.Event(), []
    hanging, others = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    held = hanging.submit(answers.wait, PATIENCE_S)
    behind = hanging.submit(done.append, "behind")
    for nth in range(3):
        others.submit(done.append, nth)
    end_threads([hanging])
    assert not held.done()
    monkeypatch.setattr(ending, "ENDS_S", PATIENCE_S)
    end_threads([others])
    assert done == [0, 1, 2]
    answers.set()
    behind.result(PATIENCE_S)


def test_what_has_not_begun_can_be_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()
    threads = ThreadPoolExecutor(1)

    def first() -> bool:
        begun.set()
        return go_on.wait(PATIENCE_S)

    under_way, waiting = threads.submit(first), threads.submit(print)
    assert begun.wait(PATIENCE_S)
    ended = threading.Thread(target=end_threads, args=([threads],), kwargs={"cancel": True})
    ended.start()
    wait_for("it is cancelled", waiting.cancelled)
    go_on.set()
    ended.join(PATIENCE_S)
    assert under_way.result(PATIENCE_S)
