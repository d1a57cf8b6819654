"""Texts that the service signs with their time, to recognise them later; nothing is stored."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

from api.accounts.signing_keys import HOUR_S
from ledger.domain.errors.store import StoreUnreachable

Keys = Callable[[int], bytes | None]
"""Returns the key of an hour since 1970, if there is one."""


class Signing:
    """Signs parts of text as `<part>..<unix time><hex hmac>`, with `separator` between them."""

    def __init__(
        self, now: Callable[[], datetime], keys: Keys, *, separator: str, valid_s: int
    ) -> None:
        """Signed texts are valid for `valid_s` seconds; no part may hold the separator."""
        self._now = now
        self._keys = keys
        self._separator = separator
        self._valid_s = valid_s

    def sign(self, *parts: str) -> str:
        """Raise `StoreUnreachable` if this hour has no key yet: it has begun a moment ago."""
        time = self._time()
        text = self._separator.join((*parts, str(time)))
        mac = self._mac(text, time)
        if mac is None:
            raise StoreUnreachable("there is no key to sign with yet")
        return f"{text}{self._separator}{mac}"

    def read(self, value: str) -> list[str] | None:
        """Return the parts; None if the text is not ours, too old, or from the future."""
        text, _, given = value.rpartition(self._separator)
        *parts, made = text.split(self._separator)
        if not (made.isascii() and made.isdecimal() and len(made) <= len(str(self._time()))):
            return None
        mac = self._mac(text, int(made))
        if mac is None or not hmac.compare_digest(bytes_of(mac), bytes_of(given)):
            return None
        return parts if 0 <= self._time() - int(made) <= self._valid_s else None

    def _time(self) -> int:
        return int(self._now().timestamp())

    def _mac(self, text: str, time: int) -> str | None:
        key = self._keys(time // HOUR_S)
        return None if key is None else hmac.new(key, bytes_of(text), hashlib.sha256).hexdigest()


def bytes_of(text: str) -> bytes:
    """Return the bytes of a text from a request.

    It may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    """
    return text.encode("utf-8", "surrogatepass")
