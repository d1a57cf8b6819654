"""A ledger in PostgreSQL, the page of an API node, and workers that die."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ledger.images.pools import Pool
from tests.acceptance.client import data_blocks
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server, run_command
from tests.commands.client.conftest import Shell
from tests.postgres.workers.fleet import STALLED_S, Worker
from tests.support.wait import wait_for

LOST = "worker lost, waiting for another"


@pytest.fixture
def server(tmp_path: Path, database: str) -> Iterator[Server]:
    """It has the pool, and leaves copies to workers."""
    pool = tmp_path / "pool"
    pool.mkdir()
    machine = Machine(tmp_path / "data", pool, tmp_path / "server.log")
    try:
        leaving = ("--no-copying", f"--stalled-after={STALLED_S}")
        server = machine.start("--store", database, *leaving)
        added = run_command(
            *("account", "add", EMAIL, "--password-stdin", "--data", str(machine.data)),
            stdin=f"{PASSWORD}\n",
        )
        assert added.returncode == 0, added.stderr
        yield server
    finally:
        machine.close()


@pytest.fixture
def worker(database: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    begun: list[Worker] = []

    def worker(*options: str) -> Worker:
        log = tmp_path / f"worker-{len(begun)}.log"
        begun.append(Worker(database, [Pool("main", tmp_path / "pool")], log, *options))
        return begun[-1]

    yield worker
    for each in begun:
        each.kill()


def test_a_dead_worker_is_shown_as_such(
    server: Server, worker: Callable[..., Worker], tmp_path: Path, watch: Any
) -> None:
    """On the page and by the command line, until another goes on with the job."""
    dying = worker("--copy-rate=32K")  # so it is at it when it dies
    image = data_blocks(64)
    clone = server.api.clone(server.api.upload(image))
    page: Page = watch(server.api.address).log_in()
    page.goto(f"/jobs/{clone.job}")
    wait_for("the copy to begin", lambda: server.api.job(clone.job)["data"].get("bytes_done"))
    expect(page.get_by_text(LOST)).to_have_count(0)
    dying.kill()

    job = page.get_by_role("region", name="The job")
    expect(job.get_by_text(LOST)).to_be_visible()
    expect(job.locator(".state-started")).to_be_visible()
    expect(page.get_by_role("cell", name="job attempt lost").first).to_be_visible()
    shell = Shell(tmp_path)
    shell.log_in(server)
    assert LOST in shell.run("jobs").out
    assert server.api.job(clone.job)["data"]["worker_lost"] is True

    quick = worker()
    expect(job.get_by_text("success")).to_be_visible()
    expect(job.get_by_text(LOST)).to_have_count(0)
    assert Pool("main", tmp_path / "pool").image(clone.uuid).read_bytes() == image
    assert quick.stop() == 0
