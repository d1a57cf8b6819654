"""What waits for something goes on only once it is there."""

from collections.abc import Sequence

import pytest

from tests.support.wait import wait_for, wait_until

NOTHING: Sequence[object] = (None, False, 0, "", [], {})


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
async def test_what_is_empty_is_waited_for(nothing: object) -> None:
    """A list of connections or a count of bytes is there before anything is in it."""
    looks = [nothing, nothing, "something"] * 2
    assert wait_for("something", lambda: looks.pop(0), pause_s=0) == "something"
    assert await wait_until("something", lambda: looks.pop(0), pause_s=0) == "something"
    assert looks == []
