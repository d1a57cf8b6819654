"""Figures of copies that a worker makes, whoever tells of them: its reports are the only source."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.images.pools import Pool
from tests.acceptance.client import BLOCK, data_blocks
from tests.acceptance.figures import check, check_time_left, follow
from tests.acceptance.running import Machine, Server
from tests.postgres.beginning import begin
from tests.postgres.workers.fleet import Worker

RATE = 512 * 1024


@pytest.fixture
def server(tmp_path: Path, database: str) -> Iterator[Server]:
    """Two processes that answer, and leave copies to a worker."""
    pool = tmp_path / "pool"
    pool.mkdir()
    machine = Machine(tmp_path / "data", pool, tmp_path / "server.log")
    options = ("--processes", "2", "--no-copying")
    worker = Worker(database, [Pool("main", pool)], tmp_path / "worker.log", "--copy-rate=512K")
    try:
        yield begin(machine, database, *options)
    finally:
        machine.close()
        worker.kill()


def test_two_processes_tell_the_same_of_a_workers_copies(
    server: Server, request: pytest.FixtureRequest
) -> None:
    """Whichever of them answers: nothing falls, and speed and time left are known."""
    blocks = 64 if request.config.getoption("--long") else 8
    api = server.api
    disks = [api.upload(data_blocks(blocks, seed)) for seed in range(3)]
    clone = api.clone_server(api.create_server(*disks))
    seen = follow(api, clone.job)
    total = 3 * blocks * BLOCK
    check(seen, total)
    check_time_left(seen, total, RATE)
    rates = [told.data["bytes_per_s"] for told in seen[:-1]]
    assert any(rates)
