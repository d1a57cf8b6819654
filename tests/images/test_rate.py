"""The rate limit and the live figures."""

import threading
import time

import pytest

import ledger.images.copying
from ledger.images import Checkpoint, CopyStopped, Figures, RateLimit
from tests.images.copies import copied, sparse_file

MB = 1_000_000


@pytest.fixture
def source(tmp_path):
    sparse_file(tmp_path / "source", 9 * MB, [(0, 3 * MB)])
    return tmp_path / "source"


def test_keeps_the_rate(source, tmp_path):
    """A limited copy takes its data's share of time; holes, twice as many, cost nothing."""
    begun = time.monotonic()
    copied(source, tmp_path / "part", rate=RateLimit(2 * MB))
    assert 1.5 * 0.8 <= time.monotonic() - begun <= 1.5 * 2.5


def test_copies_share_the_rate(source, tmp_path):
    """Two copies with one limit are together no faster than it."""
    rate = RateLimit(4 * MB)
    begun = time.monotonic()
    threads = [
        threading.Thread(target=copied, args=(source, tmp_path / name), kwargs={"rate": rate})
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1.5 * 0.8 <= time.monotonic() - begun <= 1.5 * 2.5


def test_stop_ends_the_wait(source, tmp_path):
    """A copy waiting for its rate stops at once, with a last checkpoint."""
    stop, seen = threading.Event(), []
    threading.Timer(0.2, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(CopyStopped):
        copied(
            source,
            tmp_path / "part",
            rate=RateLimit(10_000),
            stop=stop,
            on_checkpoint=seen.append,
        )
    assert time.monotonic() - begun < 10
    assert len(seen) == 1


def test_limited_copies_report_often(source, tmp_path, monkeypatch):
    """A limited copy reports by time too, and moves in steps small enough to look smooth."""
    monkeypatch.setattr(ledger.images.copying, "CHECKPOINT_S", 0.3)
    steps = []
    move = ledger.images.copying.move
    monkeypatch.setattr(
        ledger.images.copying, "move", lambda *args: (steps.append(args[3]), move(*args))
    )
    seen: list[Checkpoint] = copied(source, tmp_path / "part", rate=RateLimit(2 * MB))
    assert len(seen) >= 3
    assert max(steps) <= MB // 2


@pytest.mark.parametrize("bytes_per_s", [0, -1])
def test_a_rate_is_positive(bytes_per_s):
    """A limit of nothing is refused."""
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(bytes_per_s)


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_figures_follow_the_copy():
    """The rate settles on the true one, the time to go follows from it."""
    clock = HandClock()
    figures = Figures(clock)
    assert (figures.bytes_per_s, figures.eta_s) == (0.0, None)
    figures.begin(500, 10_000)
    for _ in range(40):
        clock.now += 0.1
        figures.advance(100)
    assert figures.bytes_done == 4500
    assert figures.bytes_per_s == pytest.approx(1000)
    assert figures.eta_s == pytest.approx(5.5)


def test_figures_are_smooth_and_sink():
    """A burst moves the rate only in part; while nothing moves it sinks towards 0."""
    clock = HandClock()
    figures = Figures(clock)
    figures.begin(0, 10**9)
    for step in [100] * 40 + [1000] * 5:
        clock.now += 0.1
        figures.advance(step)
    assert 1000 < figures.bytes_per_s < 5000
    clock.now += 30
    assert figures.bytes_per_s < 200
    assert figures.eta_s is not None


def test_figures_end_at_the_total():
    """A copy that is done has nothing to go, and never more than all is done."""
    figures = Figures()
    figures.begin(0, 10)
    figures.advance(11)
    assert (figures.bytes_done, figures.bytes_total, figures.eta_s) == (10, 10, 0.0)
