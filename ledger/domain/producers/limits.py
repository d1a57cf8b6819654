"""How long a producer's job may be silent, run and wait, and how many sub-jobs it may have.

What a producer asks for is brought inside the bounds, never refused: its work matters more than its
settings. `JobRegistered` holds what came of it, so an auditor needs no settings.
"""

from ledger.domain.events.producers import Limits

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S

LEASE_S = (15, DAY_S)
ABANDON_AFTER_S = (5 * MINUTE_S, 90 * DAY_S)
DEADLINE_S = (1, 365 * DAY_S)
QUEUE_S = (1, 90 * DAY_S)
"""The shortest and the longest of each."""
ABANDON_DEFAULT_S = 7 * DAY_S
"""Laptops sleep over weekends, and a lost job costs nothing."""
QUEUE_DEFAULT_S = 7 * DAY_S
DEADLINE_WITHOUT_LEASE_S = DAY_S
"""Nothing else would show that a job without a lease has gone wrong."""

CHILDREN_MOST = 10_000
"""Sub-jobs of one job."""


def limits(
    *,
    lease_s: int | None = None,
    deadline_s: int | None = None,
    abandon_after_s: int | None = None,
    queue_s: int | None = None,
) -> Limits:
    """Return the limits that hold if these are asked for."""
    if lease_s is None and deadline_s is None:
        deadline_s = DEADLINE_WITHOUT_LEASE_S
    return Limits(
        lease_s=_within(LEASE_S, lease_s),
        deadline_s=_within(DEADLINE_S, deadline_s),
        abandon_after_s=_inside(ABANDON_AFTER_S, abandon_after_s, ABANDON_DEFAULT_S),
        queue_s=_inside(QUEUE_S, queue_s, QUEUE_DEFAULT_S),
    )


def _inside(bounds: tuple[int, int], wanted: int | None, default: int) -> int:
    lowest, highest = bounds
    return default if wanted is None else min(max(wanted, lowest), highest)


def _within(bounds: tuple[int, int], wanted: int | None) -> int | None:
    return None if wanted is None else _inside(bounds, wanted, wanted)
