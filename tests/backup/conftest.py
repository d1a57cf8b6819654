"""A ledger with a story and archives, and a backup of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.backups import Ledger, archived
from tests.faults.conftest import small_disk
from tests.retention.conftest import Clock
from tests.support.story import STORY

__all__ = ["small_disk"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """All sorts of things have happened, and some of it is in two archives by now."""
    (tmp_path / "data").mkdir()
    with Ledger(tmp_path / "data", clock) as ledger:
        ledger.do(*STORY)
        archived(ledger, clock, "first")
        archived(ledger, clock, "second")
        ledger.add_plain_things()
        yield ledger
