"""The cookie that opens a websocket: `<account>.<revocation>|<unix time>|<hex hmac>`.

It is for whoever cannot send other credentials there, and good for as long as it takes to connect,
unless the account's logins end before.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.accounts.account import LoginRefused
from api.accounts.signing import Keys, Signing

ASYNC_COOKIE = "async_auth"
VALID_S = 120


class Entitled(NamedTuple):
    """The uuid of an account, and its last revocation when the cookie was made."""

    account: str
    revocation: int


class AsyncCookies:
    """Makes and reads them."""

    def __init__(self, now: Callable[[], datetime], keys: Keys) -> None:
        self._signing = Signing(now, keys, separator="|", valid_s=VALID_S)

    def make(self, entitled: Entitled) -> str:
        """A cookie's value. Raises `StoreUnreachable`."""
        return self._signing.sign(f"{entitled.account}.{entitled.revocation}")

    def read(self, value: str) -> Entitled:
        """For whom the cookie was made; by now the account may be gone, or its logins ended.

        Raises `LoginRefused` for one that is not ours, is too old, or made later than now.
        """
        parts = self._signing.read(value)
        if parts is None:
            raise LoginRefused
        account, _, number = parts[0].rpartition(".")
        return Entitled(account, int(number))
