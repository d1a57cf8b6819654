"""A limit on guessing: so many failures in a sliding window, then nothing is tried any more."""

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
"""Emails, or addresses, remembered; far more than can fail within a window, as hashing is slow."""


class TooManyAttempts(Expected):
    """Too many logins were wrong, or wait; nothing is tried before `retry_after_s` have passed."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many login attempts; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class FailureWindow:
    """The latest failures of each key; the key that failed longest ago is forgotten first."""

    def __init__(self, limit: int, *, clock: Callable[[], float], keys_max: int = KEYS_MAX) -> None:
        self._limit = limit
        self._clock = clock
        self._keys_max = keys_max
        self._failures: dict[str, deque[float]] = {}

    def wait_s(self, key: str) -> float:
        """How long the key must wait before it may try again; 0 if it need not."""
        failures = self._failures.get(key)
        if failures is None or len(failures) < self._limit:
            return 0.0
        return max(0.0, failures[0] + WINDOW_S - self._clock())

    def note(self, key: str) -> None:
        """Counts a failure; the oldest beyond the limit no longer matters."""
        failures = self._failures.pop(key, None) or deque(maxlen=self._limit)
        failures.append(self._clock())
        self._failures[key] = failures
        if len(self._failures) > self._keys_max:
            del self._failures[next(iter(self._failures))]

    def forget(self, key: str) -> None:
        """Starts anew for this key."""
        self._failures.pop(key, None)


class LoginThrottle:
    """Limits wrong logins by address and by email; a wrong token is of no email."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._emails = FailureWindow(ACCOUNT_FAILURES, clock=clock)
        self._addresses = FailureWindow(ADDRESS_FAILURES, clock=clock)

    def check(self, address: str, email: str | None = None) -> None:
        """Raises `TooManyAttempts` if either must wait."""
        wait_s = self._addresses.wait_s(address)
        if email is not None:
            wait_s = max(wait_s, self._emails.wait_s(email))
        if wait_s > 0:
            raise TooManyAttempts(math.ceil(wait_s))

    def note(self, address: str, email: str | None = None) -> None:
        """Counts a wrong login."""
        self._addresses.note(address)
        if email is not None:
            self._emails.note(email)

    def pardon(self, email: str) -> None:
        """The account has a new password: what was guessed before counts no more."""
        self._emails.forget(email)
