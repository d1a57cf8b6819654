"""The rate limit."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import ledger.images.copy
import ledger.images.rate
from ledger.images.background_sync import Checkpoint
from ledger.images.errors import CopyStopped
from ledger.images.rate import RateLimit
from tests.images.copies import copied, sparse_file

MB = 1_000_000


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """What copies and rates go by: it stands still but for what they wait."""
    clock = HandClock()
    for module in (ledger.images.copy, ledger.images.rate):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


class Waited(threading.Event):
    """Is never set; whoever waits for it finds that the time has passed by which all are paid."""

    def __init__(self, clock: HandClock, rate: RateLimit) -> None:
        super().__init__()
        self._clock = clock
        self._rate = rate

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now = self._rate._paid_until
        return False


@pytest.fixture
def source(tmp_path):
    sparse_file(tmp_path / "source", 9 * MB, [(0, 3 * MB)])
    return tmp_path / "source"


def test_keeps_the_rate(source, tmp_path, clock):
    """A limited copy takes its data's share of time; holes, twice as many, cost nothing."""
    rate = RateLimit(2 * MB)
    copied(source, tmp_path / "part", rate=rate, stop=Waited(clock, rate))
    assert clock.now - 100 == pytest.approx(1.5, rel=0.01)  # whole pages are data


def test_copies_share_the_rate(source, tmp_path, clock):
    """Two copies with one limit are together no faster than it, and no slower."""
    rate = RateLimit(4 * MB)
    stop = Waited(clock, rate)
    with ThreadPoolExecutor(2) as threads:
        copies = [
            threads.submit(copied, source, tmp_path / name, rate=rate, stop=stop)
            for name in ("one", "two")
        ]
    assert all(copy.result() for copy in copies)
    assert clock.now - 100 == pytest.approx(1.5, rel=0.01)  # whole pages are data


def test_waits_as_long_as_it_must():
    """By the clock on the wall."""
    rate, stop = RateLimit(10 * MB), threading.Event()
    began = time.monotonic()
    assert all(rate.take(MB, stop) for _ in range(2))
    assert time.monotonic() - began >= 0.19


class SetWhenWaitedFor(threading.Event):
    """Notes how long it would have been waited for."""

    would_wait_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.would_wait_s = timeout or 0.0
        self.set()
        return super().wait(timeout)


def test_stop_ends_the_wait(source, tmp_path):
    """A copy waiting for its rate stops at once, with a last checkpoint."""
    stop, seen = SetWhenWaitedFor(), []
    with pytest.raises(CopyStopped):
        copied(
            source,
            tmp_path / "part",
            rate=RateLimit(1),
            stop=stop,
            on_checkpoint=seen.append,
        )
    assert stop.would_wait_s > 60_000
    assert len(seen) == 1


def test_limited_copies_report_often(source, tmp_path, monkeypatch, clock):
    """A limited copy reports by time too, and moves in steps small enough to look smooth."""
    monkeypatch.setattr(ledger.images.copy, "LIMITED_CHECKPOINT_S", 0.3)
    steps = []
    move = ledger.images.copy.move
    monkeypatch.setattr(
        ledger.images.copy, "move", lambda *args: (steps.append(args[3]), move(*args))
    )
    rate = RateLimit(2 * MB)
    seen: list[Checkpoint] = copied(source, tmp_path / "part", rate=rate, stop=Waited(clock, rate))
    assert len(seen) >= 3
    assert max(steps) <= MB // 2


@pytest.mark.parametrize("bytes_per_s", [0, -1])
def test_a_rate_is_positive(bytes_per_s):
    """A limit of nothing is refused."""
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(bytes_per_s)
