"""What decisions ask of the process in which they are made."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import api.service.environment
from api.service.environment import ServiceEnvironment
from ledger.domain.context import PoolSpace
from ledger.images.pools import Pool
from tests.support.wait import PATIENCE_S


def test_a_pool_is_known_while_another_thread_measures_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands and uploads ask in threads of their own, and none is refused for want of a pool."""
    environment = ServiceEnvironment({"main": Pool("main", tmp_path)})
    measure = api.service.environment._space_of
    began, may_end = threading.Event(), threading.Event()

    def held(pool: Pool) -> PoolSpace:
        if not began.is_set():
            began.set()
            assert may_end.wait(PATIENCE_S)
        return measure(pool)

    monkeypatch.setattr(api.service.environment, "_space_of", held)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(environment.here)
        assert began.wait(PATIENCE_S)
        here = environment.here()
        may_end.set()
        assert [space.name for space in here] == ["main"]
        assert [space.name for space in other.result(PATIENCE_S)] == ["main"]
