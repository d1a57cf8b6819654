"""A limit on guessing: after so many failures in a sliding window, no login is tried."""

import math
from collections import deque
from collections.abc import Callable

from ledger.domain.errors import Expected

WINDOW_S = 300.0
ACCOUNT_FAILURES = 10
"""Wrong passwords for one email, existing or not, within the window."""
ADDRESS_FAILURES = 30
"""Wrong logins from one address within the window."""
KEYS_MAX = 50_000
"""Emails, or addresses, in memory; far more than can fail in a window, as hashing is slow."""


class TooManyAttempts(Expected):
    """Too many logins failed, or wait; the next may be tried after `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many login attempts; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class FailureWindow:
    """The latest failures of each key; the key whose last failure is oldest is dropped first."""

    def __init__(self, limit: int, *, clock: Callable[[], float], keys_max: int = KEYS_MAX) -> None:
        self._limit = limit
        self._clock = clock
        self._keys_max = keys_max
        self._failures: dict[str, deque[float]] = {}

    def wait_s(self, key: str) -> float:
        """Return how long the key must wait before it may try again; 0 if it need not."""
        failures = self._failures.get(key)
        if failures is None or len(failures) < self._limit:
            return 0.0
        return max(0.0, failures[0] + WINDOW_S - self._clock())

    def note(self, key: str) -> None:
        """Count a failure; beyond the limit the oldest is dropped."""
        failures = self._failures.pop(key, None) or deque(maxlen=self._limit)
        failures.append(self._clock())
        self._failures[key] = failures
        if len(self._failures) > self._keys_max:
            del self._failures[next(iter(self._failures))]

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)


class LoginThrottle:
    """Limits wrong logins by address and by email; a wrong token has no email."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._emails = FailureWindow(ACCOUNT_FAILURES, clock=clock)
        self._addresses = FailureWindow(ADDRESS_FAILURES, clock=clock)

    def check(self, address: str, email: str | None = None) -> None:
        """Raise `TooManyAttempts` if either must wait."""
        wait_s = self._addresses.wait_s(address)
        if email is not None:
            wait_s = max(wait_s, self._emails.wait_s(email))
        if wait_s > 0:
            raise TooManyAttempts(math.ceil(wait_s))

    def note(self, address: str, email: str | None = None) -> None:
        self._addresses.note(address)
        if email is not None:
            self._emails.note(email)

    def pardon(self, email: str) -> None:
        """Forget the failures of an account that has a new password."""
        self._emails.forget(email)
