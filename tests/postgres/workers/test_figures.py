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
from tests.support.wait import wait_for

ENDLESS_BLOCKS = 512
"""Their copy takes a minute: it is cancelled before."""


LIMIT = "--copy-rate=512K"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    pool = tmp_path / "pool"
    pool.mkdir()
    machine = Machine(tmp_path / "data", pool, tmp_path / "server.log")
    yield machine
    machine.close()


@pytest.fixture
def worker(machine: Machine, tmp_path: Path, database: str) -> Iterator[Worker]:
    worker = Worker(database, [Pool("main", machine.pool)], tmp_path / "worker.log", LIMIT)
    yield worker
    worker.kill()


@pytest.mark.usefixtures("worker")
def test_two_processes_tell_the_same_of_a_workers_copies(
    machine: Machine, database: str, request: pytest.FixtureRequest
) -> None:
    """Whichever of them answers: nothing falls, and speed and time left are known."""
    follow_a_clone(begin(machine, database, "--processes", "2", "--no-copying"), request)


@pytest.mark.long
def test_a_process_tells_the_same_of_anothers_copies(
    machine: Machine, database: str, request: pytest.FixtureRequest
) -> None:
    """One of the two that answer copies."""
    follow_a_clone(begin(machine, database, "--processes", "2", LIMIT), request)


def follow_a_clone(server: Server, request: pytest.FixtureRequest) -> None:
    blocks = 64 if request.config.getoption("--long") else 8
    api = server.api
    disks = [api.upload(data_blocks(blocks, seed)) for seed in range(3)]
    clone = api.clone_server(api.create_server(*disks))
    seen = follow(api, clone.job)
    total = 3 * blocks * BLOCK
    check(api, seen, total)
    check_time_left(seen, total)
    endless = api.clone(api.upload(data_blocks(ENDLESS_BLOCKS))).job
    wait_for("its speed to be told", lambda: api.job(endless)["data"]["bytes_per_s"])
    api.cancel(endless)
