"""The cookie that opens a websocket: `<account>|<unix time>|<hex hmac>`.

It is for whoever cannot send other credentials there, and good for as long as it takes to connect.
Nothing of it is stored: the key is this process's own, so a restart ends the cookies before it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime

from api.identity import LoginRefused

ASYNC_COOKIE = "async_auth"
VALID_S = 120


class AsyncCookies:
    """Makes and reads them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)

    def make(self, account: str) -> str:
        """A cookie's value for the account of this uuid."""
        said = f"{account}|{self._time()}"
        return f"{said}|{self._mac(said)}"

    def read(self, value: str) -> str:
        """The uuid of the account that the cookie was made for, which may be gone by now.

        Raises `LoginRefused` for one that is not ours, too old, or made later than now.
        """
        said, _, mac = value.rpartition("|")
        if not hmac.compare_digest(_bytes(self._mac(said)), _bytes(mac)):
            raise LoginRefused
        account, _, made = said.rpartition("|")
        if not 0 <= self._time() - int(made) <= VALID_S:
            raise LoginRefused
        return account

    def _time(self) -> int:
        return int(self._now().timestamp())

    def _mac(self, said: str) -> str:
        return hmac.new(self._key, _bytes(said), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # Header values may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    return text.encode("utf-8", "surrogatepass")
