"""Whole services on both stores, and the producers that tell them of their jobs."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import account_data
from tests.acceptance.running import Machine, machine_in
from tests.trials.place import Place
from tests.trials.producers import Producers

__all__ = ["account_data"]


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - moments, no secrets


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        with machine_in(tmp_path, request.getfixturevalue("account_data")) as machine:
            yield Place(machine, None)
        return
    (tmp_path / "pool").mkdir()
    machine = Machine(tmp_path / "data", tmp_path / "pool", tmp_path / "server.log")
    try:
        yield Place(machine, request.getfixturevalue("database"))
    finally:
        machine.close()


@pytest.fixture
def producers(place: Place, tmp_path: Path) -> Iterator[Producers]:
    made = Producers(tmp_path, place.url, place.token)
    yield made
    made.kill_all()
