"""Machines and nodes whose ledger is in PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Machine
from tests.postgres.nodes import Nodes
from tests.support.opened_postgres import in_postgres
from tests.support.world import Foreseen


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    pool = tmp_path / "pool"
    pool.mkdir()
    machine = Machine(tmp_path / "data", pool, tmp_path / "server.log")
    yield machine
    machine.close()


@pytest.fixture
def nodes(database: str) -> Iterator[Nodes]:
    """Two, each with a writer, views and a tail of its own."""
    with (
        in_postgres(database, Foreseen(prefix="one")) as one,
        in_postgres(database, Foreseen(prefix="two")) as two,
    ):
        yield one, two
        assert one.failures == []
        assert two.failures == []


@pytest.fixture
def many(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """So many with --long, else a twentieth."""
    long = request.config.getoption("--long")
    return lambda number: number if long else number // 20
