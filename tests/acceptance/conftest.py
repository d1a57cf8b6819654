"""A machine for each test; the account is made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Machine, machine_in, make_data
from tests.images.conftest import reflinking_disk

__all__ = ["reflinking_disk"]


@pytest.fixture(scope="session")
def account_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("account") / "data"
    make_data(data)
    return data


@pytest.fixture
def machine(tmp_path: Path, account_data: Path) -> Iterator[Machine]:
    with machine_in(tmp_path, account_data) as machine:
        yield machine
