"""How long a producer's job may be silent, run and wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.events.producers import Limits
from ledger.domain.producers.limits import DAY_S, limits

ANY_S = st.none() | st.integers()


@given(lease_s=ANY_S, deadline_s=ANY_S, abandon_after_s=ANY_S, queue_s=ANY_S)
def test_limits_are_brought_inside_their_bounds(**wanted: int | None) -> None:
    """Whatever is asked for; what is not asked for has a default, or is not limited."""
    held = limits(**wanted)
    assert held.lease_s is None or 15 <= held.lease_s <= DAY_S
    assert held.deadline_s is None or 1 <= held.deadline_s <= 365 * DAY_S
    assert 300 <= held.abandon_after_s <= 90 * DAY_S
    assert 1 <= held.queue_s <= 90 * DAY_S
    assert (held.lease_s is None) == (wanted["lease_s"] is None)


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        ({}, Limits(None, DAY_S, 7 * DAY_S, 7 * DAY_S)),
        ({"lease_s": 90}, Limits(90, None, 7 * DAY_S, 7 * DAY_S)),
        ({"lease_s": 1, "deadline_s": 9}, Limits(15, 9, 7 * DAY_S, 7 * DAY_S)),
    ],
)
def test_what_holds_by_default(wanted: dict[str, int], held: Limits) -> None:
    """A job that need not report is overdue after a day: nothing else would tell."""
    assert limits(**wanted) == held
