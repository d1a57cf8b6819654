"""Requests generated from the API's description, sent to a whole service over HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.acceptance.client import data_blocks
from tests.acceptance.running import ROOT, Machine, machine_in, make_data
from tests.contract.findings import Findings
from tests.support.processes import environment
from tests.support.wait import PATIENCE_S

REQUESTS = 600
MANY_REQUESTS = 10_000
SEED = 20_260_417
"""Of the short run, whose requests are the same each time; those of the long one are drawn."""
COPY_RATE = "128K"
"""Slow, so that there are jobs to be met while they run."""
LEAST_GOOD = 0.25
"""The share of 2xx below which requests have missed what they were aimed at."""
GENERATING_S = 15 * PATIENCE_S
"""How long the short run may take before it counts as a hang; the long one, 20 times as long."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    make_data(tmp_path / "made")
    with machine_in(tmp_path, tmp_path / "made") as machine:
        yield machine


@pytest.mark.thorough
def test_no_request_gets_an_answer_that_is_not_described(
    machine: Machine, seed: int, request: pytest.FixtureRequest
) -> None:
    """Whatever is sent: no 500, no contention without contenders, nothing outside its schema."""
    many = request.config.getoption("--long")
    total, drawn = (MANY_REQUESTS, seed) if many else (REQUESTS, SEED)
    fill_library(machine)
    findings = run(machine.start("--copy-rate", COPY_RATE).api.address, drawn, total)
    print(findings)  # noqa: T201
    assert findings.wrong == {}, str(findings)
    assert findings.contended == 0, str(findings)
    assert findings.good.total() >= LEAST_GOOD * findings.total, str(findings)


def fill_library(machine: Machine) -> None:
    image = machine.data.with_name("library.raw")
    image.write_bytes(data_blocks(1))
    for nth in range(2):
        name = ("--name", f"Example OS {nth}", "--meta", "os=linux")
        pool = ("--pool", f"main={machine.pool}")
        assert machine.command("library", "add", str(image), *name, *pool).returncode == 0


def run(address: str, seed: int, total: int) -> Findings:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.sending", address, str(seed), str(total)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=GENERATING_S * max(1, total // REQUESTS),
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.msgpack.decode(
        done.stdout, type=Findings, dec_hook=lambda kind, told: kind(told)
    )
