"""A ledger whose clock is set by the test, with its archives beside it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.retained import Retained
from tests.support.unsynced import unsynced
from tests.support.world import START

__all__ = ["unsynced"]


class Clock:
    """Goes on by a millisecond whenever it is looked at, and by as much as it is told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(tmp_path: Path, clock: Clock) -> Iterator[Retained]:
    with Retained(tmp_path / "ledger.sqlite", clock) as retained:
        yield retained
