"""A ledger whose clock is set by the test, with its archives beside it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.opened_postgres import retained_in_postgres
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


Nodes = tuple[Retained, Retained]


@pytest.fixture(params=["sqlite", "postgres"])
def nodes(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> Iterator[tuple[Retained, Retained]]:
    """Two nodes over one ledger and one directory of archives; in SQLite, both are the same."""
    file = tmp_path / "ledger.sqlite"
    if request.param == "sqlite":
        with Retained(file, clock) as alone:
            yield alone, alone
        return
    opening = retained_in_postgres(request.getfixturevalue("ledger_database"))
    with opening(file, clock, acts="one") as one, opening(file, clock, acts="two") as two:
        yield one, two


@pytest.fixture
def kept(tmp_path: Path, clock: Clock) -> Iterator[Retained]:
    with Retained(tmp_path / "ledger.sqlite", clock) as retained:
        yield retained
