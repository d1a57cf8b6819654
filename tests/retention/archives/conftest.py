"""A small disk, and no descriptor left open, as in the tests of images; small frames."""

from collections.abc import Iterator

import pytest

from tests.images.conftest import open_files, small_disk
from tests.retention.archives.making import small_frames

__all__ = ["few_in_a_frame", "open_files", "small_disk"]


@pytest.fixture(autouse=True)
def few_in_a_frame(request: pytest.FixtureRequest) -> Iterator[None]:
    """Frames of few events, so that small archives have many."""
    with small_frames():
        yield
