"""Two nodes with one directory of archives: nothing is discarded or archived twice.

A node loses its lease when the server ends its session, without noticing; the other takes over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import projections.maintenance.retention.compaction
import projections.maintenance.retention.service
from ledger.domain.errors.store import StoreUnreachable
from tests.retention.conftest import Clock
from tests.retention.telling import DAYS, check, family, jobs
from tests.support.opened_postgres import retained_in_postgres
from tests.support.postgres import end_turns
from tests.support.retained import Retained


@pytest.fixture
def nodes(ledger_database: str, tmp_path: Path) -> Iterator[tuple[Retained, Retained]]:
    clock = Clock()
    opening = retained_in_postgres(ledger_database)
    file = tmp_path / "none"
    with opening(file, clock, acts="one") as one, opening(file, clock, acts="two") as two:
        family(one, "a")
        clock.advance(days=DAYS, seconds=1)
        yield one, two
        assert one.failures == []
        assert two.failures == []


@pytest.mark.parametrize(
    "module",
    [projections.maintenance.retention.service, projections.maintenance.retention.compaction],
)
def test_a_node_that_lost_its_lease_leaves_the_run_to_the_other(
    nodes: tuple[Retained, Retained],
    ledger_database: str,
    module: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the plan and the sweep, or when its archive is written and not recorded yet."""
    one, two = nodes
    name = "sweep" if module is projections.maintenance.retention.service else "write_archive"
    do = getattr(module, name)

    def disturbed(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(module, name, do)
        done = do(*arguments, **more) if name == "write_archive" else None
        end_turns(ledger_database)
        two.run()
        return done or do(*arguments, **more)

    monkeypatch.setattr(module, name, disturbed)
    with pytest.raises(StoreUnreachable):
        one.run()
    assert jobs(one) == set()
    check(two)
