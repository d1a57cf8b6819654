"""Requests generated from the API's description, sent to a whole service over HTTP."""

import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.acceptance.client import data_blocks
from tests.acceptance.running import EMAIL, PASSWORD, Machine, machine_in, make_data
from tests.contract.generating import TIMEOUT_S, Findings, generated, operations
from tests.contract.stock import Stock

REQUESTS = 600
MANY_REQUESTS = 10_000
TURN = 2
"""Requests of one operation and of one kind, before it is the next one's turn."""
SEED = 20_260_417
"""Of the short run, which is the same each time; the long ones draw theirs, and print it."""
COPY_RATE = "128K"
"""Slow, so that there are jobs to be met while they run."""
LEAST_GOOD = 0.25
"""The share of 2xx below which requests have missed what they were aimed at."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    make_data(tmp_path / "made")
    with machine_in(tmp_path, tmp_path / "made") as machine:
        yield machine


def test_no_request_gets_an_answer_that_is_not_described(
    machine: Machine, request: pytest.FixtureRequest
) -> None:
    """Whatever is sent: no 500, no contention without contenders, nothing outside its schema."""
    many = request.config.getoption("--long")
    total, drawn = (MANY_REQUESTS, secrets.randbits(32)) if many else (REQUESTS, SEED)
    print(f"seed {drawn}")  # noqa: T201 - to run it again
    started = time.monotonic()
    findings = run(machine, random.Random(drawn), total)  # noqa: S311 - to run it again
    print(f"{findings}\n{time.monotonic() - started:.1f} s")  # noqa: T201
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


def run(machine: Machine, drawn: random.Random, total: int) -> Findings:
    """One operation after the other, well-formed requests and ill-formed ones, again and again."""
    fill_library(machine)
    server = machine.start("--copy-rate", COPY_RATE)
    stock = Stock(server.api, drawn)
    findings = Findings()
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (EMAIL, PASSWORD)

        while findings.total < total:
            for operation in operations():
                stock.refill()
                for case in generated(operation, drawn.getrandbits(32), TURN):
                    stock.aim(case)
                    response = case.call(server.api.address, session, timeout=TIMEOUT_S)
                    findings.judge(case, response)
    return findings
