"""A service that tells metrics, in a process of its own."""

import re
from collections.abc import Callable

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import Machine, Server
from tests.support.wait import PATIENCE_S, wait_for

__all__ = ["account_data", "machine"]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
Told = Callable[[], Samples]


@pytest.fixture
def server(machine: Machine) -> Server:
    return machine.start("--metrics-port", "0")


@pytest.fixture
def told(server: Server, machine: Machine) -> Told:
    """Every sample by its name and labels, as of now."""
    found = wait_for(
        "the address of the metrics",
        lambda: re.search(r"^metrics at (\S+)$", machine.log.read_text(), re.MULTILINE),
    )

    return lambda: samples(found[1])


def samples(address: str) -> Samples:
    """What is told there now."""
    answer = requests.get(address, timeout=PATIENCE_S)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
