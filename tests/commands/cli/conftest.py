from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.cli.processes import Serve, Serving


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def serve(data: Path) -> Iterator[Serve]:
    """Starts services on the data directory; those that still run at the end are killed."""
    started: list[Serving] = []

    def start(*arguments: str) -> Serving:
        started.append(Serving(data, *arguments))
        return started[-1]

    yield start
    for service in started:
        service.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One service for tests that leave it as it was, or add to it."""
    service = Serving(tmp_path_factory.mktemp("shared") / "data")
    yield service
    service.end()
