"""The cookie that opens a websocket: `<account>.<revocation>.<session>|<unix time>|<hex hmac>`.

It is for clients that cannot send other credentials there. It is valid for as long as connecting
takes, unless the account's logins are revoked before, or the session that it was made in ends. Made
without a session, it names none.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.accounts.account import LoginRefused
from api.accounts.signing import Keys, Signing

VALID_S = 120


class CookieHolder(NamedTuple):
    """The uuid of an account, its last revocation when the cookie was made, and the session."""

    account: str
    revocation: int
    session: bytes | None = None
    """The hash of the session's id, if the cookie was made in one."""


class AsyncCookies:
    """Makes and reads cookies."""

    def __init__(self, now: Callable[[], datetime], keys: Keys) -> None:
        self._signing = Signing(now, keys, separator="|", valid_s=VALID_S)

    def make(self, holder: CookieHolder) -> str:
        """Return the value of a cookie. Raise `StoreUnreachable`."""
        session = () if holder.session is None else (holder.session.hex(),)
        return self._signing.sign(".".join((holder.account, str(holder.revocation), *session)))

    def read(self, value: str) -> CookieHolder:
        """Return the holder; since then the account may have been removed, or its logins revoked.

        Raise `LoginRefused` if the cookie is not ours, too old, or from the future.
        """
        parts = self._signing.read(value)
        if parts is None:
            raise LoginRefused
        account, number, *session = parts[0].split(".")
        return CookieHolder(account, int(number), bytes.fromhex(session[0]) if session else None)
