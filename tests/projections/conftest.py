from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.opened import Opened
from tests.support.story import STORY
from tests.support.unsynced import unsynced

__all__ = ["unsynced"]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A ledger with nothing in it."""
    with Opened(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def told(opened: Opened) -> Opened:
    """A ledger with the whole story in it."""
    opened.do(*STORY)
    return opened
