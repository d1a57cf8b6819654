"""Data directories of a service that has had no request: most tests begin with a copy of one.

Making one takes a dozen transactions and some keys; copying it takes next to nothing.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from api.composition import open_service
from api.service.settings import Settings


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("begun")

    async def begin() -> None:
        async with open_service(Settings(data=directory, copying=False)):
            pass

    asyncio.run(begin())
    return directory


def begin_as(begun: Path, data: Path) -> None:
    """Gives a data directory what that one has, but for its pools."""
    for file in begun.iterdir():
        if file.is_file():
            shutil.copy2(file, data)
