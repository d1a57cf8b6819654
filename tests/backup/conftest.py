"""A ledger with a story and archives, and a backup of it; made once, and copied for each test."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.backup.backups import Ledger, archived
from tests.faults.conftest import small_disk
from tests.retention.conftest import Clock
from tests.support.story import STORY

__all__ = ["small_disk"]


class Made(NamedTuple):
    data: Path
    backup: Path
    until: datetime


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """All sorts of things have happened, and some of it is in two archives by now."""
    directory = tmp_path_factory.mktemp("made")
    made = Made(directory / "data", directory / "backup", (clock := Clock()).now)
    made.data.mkdir()
    with Ledger(made.data, clock) as ledger:
        ledger.do(*STORY)
        archived(ledger, clock, "first")
        archived(ledger, clock, "second")
        ledger.add_plain_things()
        ledger.back_up(made.backup)
    return made._replace(until=clock.now)


@pytest.fixture
def clock(made: Made) -> Clock:
    clock = Clock()
    clock.now = made.until
    return clock


@pytest.fixture
def ledger(tmp_path: Path, made: Made, clock: Clock) -> Iterator[Ledger]:
    shutil.copytree(made.data, tmp_path / "data")
    with Ledger(tmp_path / "data", clock) as ledger:
        yield ledger


@pytest.fixture
def backup(tmp_path: Path, made: Made) -> Path:
    """The backup of the ledger as it was made."""
    shutil.copytree(made.backup, tmp_path / "backup")
    return tmp_path / "backup"
