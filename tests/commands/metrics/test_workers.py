"""What a worker tells of itself: its commands, its commits, its copies and its pools."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.images.pools import Pool
from ledger.store.metrics import PREFIX
from tests.commands.metrics.conftest import samples
from tests.postgres.workers.fleet import MIB, Fleet, Worker, fleet_on
from tests.support.wait import PATIENCE_S, wait_for

OF_REQUESTS = ("requests", "request_seconds", "websocket_clients")
OF_JOBS = ("jobs", "reader_lag_events", "parked_streams", "retention_overdue_seconds")


@pytest.fixture
def fleet(database: str, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_on(database, tmp_path, Pool("main", tmp_path / "main")) as fleet:
        yield fleet


def address_of(worker: Worker) -> str:
    found = wait_for(
        "the address of the metrics",
        lambda: re.search(r"^metrics at (\S+)$", worker.logged(), re.MULTILINE),
    )
    return found[1]


def test_a_worker_tells_what_it_did(fleet: Fleet) -> None:
    """The bytes that it really copied; of requests and jobs it knows nothing."""
    worker = fleet.worker("--metrics-port=0")
    address = address_of(worker)
    before = samples(address)
    counted = frozenset({("command", "SucceedJob"), ("outcome", "recorded")})
    assert before[f"{PREFIX}commands_total", counted] == 0
    job, _ = fleet.clone(fleet.source(size=2 * MIB))
    fleet.wait_until("success", [job])
    wait_for("it to be counted", lambda: samples(address)[f"{PREFIX}commands_total", counted] == 1)
    told = samples(address)
    assert told[f"{PREFIX}copied_bytes_total", frozenset()] == 2 * MIB
    assert told[f"{PREFIX}pool_free_bytes", frozenset({("pool", "main")})] > 0
    assert told[f"{PREFIX}commit_seconds_count", frozenset()] >= 2
    told_of = {name.removeprefix(PREFIX) for name, _ in told}
    assert not [name for name in told_of if name.startswith((*OF_REQUESTS, *OF_JOBS))]


def test_a_port_that_is_taken_is_said_to_be(fleet: Fleet) -> None:
    """And the worker does not begin."""
    port = address_of(fleet.worker("--metrics-port=0")).rpartition(":")[2].partition("/")[0]
    second = fleet.worker(f"--metrics-port={port}")
    assert second.process.wait(PATIENCE_S) == 1
    assert "it is in use" in second.logged()
