"""The cookie that opens a websocket: `<account>.<endings>|<unix time>|<hex hmac>`.

It is for whoever cannot send other credentials there, and good for as long as it takes to connect.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from api.identity import LoginRefused
from api.signing import Signing

ASYNC_COOKIE = "async_auth"
VALID_S = 120


class AsyncCookies:
    """Makes and reads them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._signing = Signing(now, separator="|", valid_s=VALID_S)
        self._endings: Counter[str] = Counter()

    def make(self, account: str) -> str:
        """A cookie's value for the account of this uuid."""
        return self._signing.sign(f"{account}.{self._endings[account]}")

    def end_all_of(self, account: str) -> None:
        """The account's cookies so far are good for nothing."""
        self._endings[account] += 1

    def read(self, value: str) -> str:
        """The uuid of the account that the cookie was made for, which may be gone by now.

        Raises `LoginRefused` for one that is not ours, has ended, is too old, or made later than
        now.
        """
        parts = self._signing.read(value)
        if parts is None:
            raise LoginRefused
        account, _, endings = parts[0].rpartition(".")
        if int(endings) != self._endings[account]:
            raise LoginRefused
        return account
