import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.opened import Opened
from tests.support.story import STORY
from tests.support.unsynced import unsynced
from tests.support.world import Foreseen, Ticking

__all__ = ["unsynced"]


class Told(NamedTuple):
    """A ledger with the whole story in it, and what comes next to whoever goes on with it."""

    file: Path
    now: datetime
    new_id: str
    new_mac: str


@pytest.fixture(scope="session")
def once_told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What tests get a copy of: telling it takes longer than most of them."""
    file = tmp_path_factory.mktemp("told") / "ledger.sqlite"
    environment = Foreseen()
    with Opened(file, environment=environment) as opened:
        opened.do(*STORY)
    return Told(file, opened.now(), environment.new_id(), environment.new_mac())


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A ledger with nothing in it."""
    with Opened(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def told(tmp_path: Path, once_told: Told) -> Iterator[Opened]:
    """A ledger with the whole story in it."""
    file = shutil.copy2(once_told.file, tmp_path / "ledger.sqlite")
    first_id = int(once_told.new_id.removeprefix("new-"))
    first_mac = int(once_told.new_mac.rpartition(":")[2], 16)
    environment = Foreseen(first_id=first_id, first_mac=first_mac)
    with Opened(file, environment=environment, now=Ticking(once_told.now)) as ledger:
        yield ledger
