"""Texts that the service has signed, each with its moment: whoever shows one was given it here.

Nothing of them is stored.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

from api.accounts.signing_keys import HOUR_S
from ledger.domain.errors import StoreUnreachable

Keys = Callable[[int], bytes | None]
"""The key of an hour since 1970, if there is one."""


class Signing:
    """Signs parts of text as `<part>..<unix time><hex hmac>`, with `separator` between them."""

    def __init__(
        self, now: Callable[[], datetime], keys: Keys, *, separator: str, valid_s: int
    ) -> None:
        """What is signed is good for `valid_s` seconds; no part may hold the separator."""
        self._now = now
        self._keys = keys
        self._separator = separator
        self._valid_s = valid_s

    def sign(self, *parts: str) -> str:
        """Raises `StoreUnreachable` if there is no key for this hour, after a leap of the clock."""
        time = self._time()
        said = self._separator.join((*parts, str(time)))
        mac = self._mac(said, time)
        if mac is None:
            raise StoreUnreachable("there is no key to sign with yet")
        return f"{said}{self._separator}{mac}"

    def read(self, value: str) -> list[str] | None:
        """The parts; None for what is not of ours, too old, or made later than now."""
        said, _, given = value.rpartition(self._separator)
        *parts, made = said.split(self._separator)
        if not (made.isascii() and made.isdecimal() and len(made) <= len(str(self._time()))):
            return None
        mac = self._mac(said, int(made))
        if mac is None or not hmac.compare_digest(_bytes(mac), _bytes(given)):
            return None
        return parts if 0 <= self._time() - int(made) <= self._valid_s else None

    def _time(self) -> int:
        return int(self._now().timestamp())

    def _mac(self, said: str, time: int) -> str | None:
        key = self._keys(time // HOUR_S)
        return None if key is None else hmac.new(key, _bytes(said), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # URLs and headers may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    return text.encode("utf-8", "surrogatepass")
