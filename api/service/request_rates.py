"""How many requests an account may make in a second, and how many at once after a pause."""

from collections.abc import Callable
from typing import NamedTuple

REMEMBERED = 1_000
"""Accounts that are remembered, at the least, before those are forgotten that have been quiet."""


class _Bucket(NamedTuple):
    """How many requests an account had left at a moment."""

    left: float
    at: float


class RequestRates:
    """A bucket of requests for each account, which fills up again by itself."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """A bucket is never smaller than what flows in within a second; 0 a second is no limit."""
        self._per_second = per_second
        self._burst = max(burst, per_second, 1.0)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._forget_above = REMEMBERED

    def __len__(self) -> int:
        return len(self._buckets)

    def admit(self, account: str) -> float:
        """Count a request, and return 0; or return in how many seconds there is room for it."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        left = self._left(account, now)
        if left < 1:
            return (1 - left) / self._per_second
        self._buckets[account] = _Bucket(left - 1, now)
        if len(self._buckets) > self._forget_above:
            self._forget_quiet(now)
        return 0.0

    def _left(self, account: str, now: float) -> float:
        bucket = self._buckets.get(account)
        if bucket is None:
            return self._burst
        return min(self._burst, bucket.left + (now - bucket.at) * self._per_second)

    def _forget_quiet(self, now: float) -> None:
        """Forget the accounts whose buckets are full: they are as if they had never asked."""
        self._buckets = {
            account: bucket
            for account, bucket in self._buckets.items()
            if self._left(account, now) < self._burst
        }
        self._forget_above = max(REMEMBERED, 2 * len(self._buckets))
