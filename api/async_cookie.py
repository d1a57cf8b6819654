"""The cookie that opens a websocket: `<account>|<unix time>|<hex hmac>`.

It is for whoever cannot send other credentials there, and good for as long as it takes to connect.
"""

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

    def make(self, account: str) -> str:
        """A cookie's value for the account of this uuid."""
        return self._signing.sign(account)

    def read(self, value: str) -> str:
        """The uuid of the account that the cookie was made for, which may be gone by now.

        Raises `LoginRefused` for one that is not ours, too old, or made later than now.
        """
        parts = self._signing.read(value)
        if parts is None:
            raise LoginRefused
        (account,) = parts
        return account
