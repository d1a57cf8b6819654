"""A ledger in either store, and a clock that the test sets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.ledger.leases.present import Clock, Node, Present
from tests.support.opened import Opened
from tests.support.opened_postgres import InPostgres


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def present(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Present]:
    kind, clock = Opened, Clock()
    if request.param == "postgres":
        url = request.getfixturevalue("ledger_database")
        kind = type("OpenedInPostgres", (InPostgres,), {"url": url})
    with kind(tmp_path / "ledger.sqlite", now=clock) as opened:
        yield Present(opened, clock)


@pytest.fixture
async def node(present: Present) -> AsyncIterator[Node]:
    """A process that takes reports, and writes what waits for that."""
    async with Node(present) as node:
        yield node
