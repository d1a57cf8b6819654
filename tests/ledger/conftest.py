import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.store.writer import group_commit
from tests.support.opened import Opened


@pytest.fixture(autouse=True)
def unhurried_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed together depends on no machine's speed."""
    monkeypatch.setattr(group_commit, "BATCH_S", math.inf)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A ledger with nothing in it."""
    with Opened(tmp_path / "ledger.sqlite") as ledger:
        yield ledger
