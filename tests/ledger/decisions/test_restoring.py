"""A restore is recorded once, in its own stream."""

import pytest

from ledger.domain.commands.housekeeping import RecordRestore
from ledger.domain.context import Fact
from ledger.domain.events.housekeeping import LedgerRestored
from tests.support.deciding import given

RECORDED = Fact("restoration-r", LedgerRestored(2, "note"))


def test_a_restore_is_recorded() -> None:
    """With the epoch that it begins, and the checkpoint that this begins with."""
    given().when(RecordRestore("r", 2, "note")).then(RECORDED)


def test_another_restore_is_another_act() -> None:
    """A ledger may be restored again and again."""
    given(RECORDED).when(RecordRestore("s", 3, "later")).then(
        Fact("restoration-s", LedgerRestored(3, "later"))
    )


def test_a_restore_is_never_recorded_twice() -> None:
    """Who tries has lost count."""
    with pytest.raises(AssertionError, match="restoration-r is recorded"):
        given(RECORDED).when(RecordRestore("r", 3, "later"))
