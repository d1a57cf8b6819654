"""A machine whose service has its ledger in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    pool = tmp_path / "pool"
    pool.mkdir()
    machine = Machine(tmp_path / "data", pool, tmp_path / "server.log")
    yield machine
    machine.close()
