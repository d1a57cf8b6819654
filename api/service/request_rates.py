"""The rates of requests: how many an account may make in a second, and at once after a pause."""

from collections.abc import Callable
from typing import NamedTuple

REMEMBERED = 1_000
"""How many accounts are remembered at least; beyond that, quiet ones are forgotten."""


class _Bucket(NamedTuple):
    """How many requests an account had left at a moment in time."""

    left: float
    at: float


class RequestRates:
    """Token buckets: one for each account, which refills over time."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """A bucket holds at least what refills in a second; 0 a second is no limit."""
        self._per_second = per_second
        self._burst = max(burst, per_second, 1.0)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._forget_above = REMEMBERED

    def __len__(self) -> int:
        return len(self._buckets)

    def admit(self, account: str) -> float:
        """Count a request and return 0, or return how many seconds it has to wait."""
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
        """Forget accounts whose buckets are full, which makes no difference to them."""
        self._buckets = {
            account: bucket
            for account, bucket in self._buckets.items()
            if self._left(account, now) < self._burst
        }
        self._forget_above = max(REMEMBERED, 2 * len(self._buckets))
