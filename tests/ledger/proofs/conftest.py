from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.opened import Opened


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A ledger with nothing in it."""
    with Opened(tmp_path / "ledger.sqlite") as ledger:
        yield ledger
