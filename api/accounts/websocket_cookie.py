"""The cookie that opens a websocket: `<account>.<revocation>|<unix time>|<hex hmac>`.

It is for clients that cannot send other credentials there. It is valid for as long as connecting
takes, unless the account's logins are revoked before.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.accounts.account import LoginRefused
from api.accounts.signing import Keys, Signing

ASYNC_COOKIE = "async_auth"
VALID_S = 120


class CookieHolder(NamedTuple):
    """The uuid of an account, and its last revocation when the cookie was made."""

    account: str
    revocation: int


class AsyncCookies:
    """Makes and reads cookies."""

    def __init__(self, now: Callable[[], datetime], keys: Keys) -> None:
        self._signing = Signing(now, keys, separator="|", valid_s=VALID_S)

    def make(self, holder: CookieHolder) -> str:
        """Return the value of a cookie. Raise `StoreUnreachable`."""
        return self._signing.sign(f"{holder.account}.{holder.revocation}")

    def read(self, value: str) -> CookieHolder:
        """Return the holder; since then the account may have been removed, or its logins revoked.

        Raise `LoginRefused` if the cookie is not ours, too old, or from the future.
        """
        parts = self._signing.read(value)
        if parts is None:
            raise LoginRefused
        account, _, number = parts[0].rpartition(".")
        return CookieHolder(account, int(number))
