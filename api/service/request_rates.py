"""The rates of requests: how many an account may make in a second, and at once after a pause.

And of those of some kinds, how many a token may make in a minute, and all tokens of an account.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from api.service.limits import Limits

Kind = Literal["registrations", "cancels", "labels", "reads"]
"""What the tokens of programs do, and how often is limited."""
KINDS: tuple[Kind, ...] = get_args(Kind)
MINUTE_S = 60
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

    def admit(self, account: str, n: float = 1) -> float:
        """Count `n` requests and return 0, or return how many seconds they have to wait."""
        wait_s = self.wait_s(account, n)
        if not wait_s:
            self.count(account, n)
        return wait_s

    def wait_s(self, account: str, n: float = 1) -> float:
        """Return how many seconds these requests have to wait; more than a burst wait like one."""
        if not self._per_second:
            return 0.0
        missing = min(n, self._burst) - self._left(account, self._clock())
        return max(missing, 0.0) / self._per_second

    def count(self, account: str, n: float = 1) -> None:
        """Count requests that were admitted."""
        if not self._per_second:
            return
        now = self._clock()
        self._buckets[account] = _Bucket(self._left(account, now) - min(n, self._burst), now)
        if len(self._buckets) > self._forget_above:
            self._forget_quiet(now)

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


class CallRates:
    """How often tokens, and all tokens of an account together, do something of a kind."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._of_tokens = {kind: self._rates(kind, 1, clock) for kind in KINDS}
        together = limits.together_per_account
        self._of_accounts = {kind: self._rates(kind, together, clock) for kind in KINDS}

    def limit(self, kind: Kind) -> int:
        """Return how many of a kind a token may do in a minute; 0 is no limit."""
        return int(getattr(self._limits, f"{kind}_per_minute"))

    def burst(self, kind: Kind) -> int:
        return int(getattr(self._limits, f"{kind}_burst"))

    def admit(self, kind: Kind, account: str, token: str | None, n: int = 1) -> float:
        """Count `n` of a kind and return 0, or return how many seconds they have to wait.

        Whatever an account does without a token counts as done by one more.
        """
        of_token, of_account = self._of_tokens[kind], self._of_accounts[kind]
        name = f"{account}/{token or ''}"
        wait_s = max(of_token.wait_s(name, n), of_account.wait_s(account, n))
        if not wait_s:
            of_token.count(name, n)
            of_account.count(account, n)
        return wait_s

    def _rates(self, kind: Kind, times: int, clock: Callable[[], float]) -> RequestRates:
        per_second = self.limit(kind) * times / MINUTE_S
        return RequestRates(per_second, self.burst(kind) * times, clock)
