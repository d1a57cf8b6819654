"""Texts that this process has signed, each with its moment: whoever shows one was given it here.

Nothing of them is stored: the key is this process's own, so a restart ends those before it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime


class Signing:
    """Signs parts of text as `<part>..<unix time><hex hmac>`, with `separator` between them."""

    def __init__(self, now: Callable[[], datetime], *, separator: str, valid_s: int) -> None:
        """What is signed is good for `valid_s` seconds; no part may hold the separator."""
        self._now = now
        self._separator = separator
        self._valid_s = valid_s
        self._key = secrets.token_bytes(32)

    def sign(self, *parts: str) -> str:
        said = self._separator.join((*parts, str(self._time())))
        return f"{said}{self._separator}{self._mac(said)}"

    def read(self, value: str) -> list[str] | None:
        """The parts; None for what is not of ours, too old, or made later than now."""
        said, _, mac = value.rpartition(self._separator)
        if not hmac.compare_digest(_bytes(self._mac(said)), _bytes(mac)):
            return None
        *parts, made = said.split(self._separator)
        return parts if 0 <= self._time() - int(made) <= self._valid_s else None

    def _time(self) -> int:
        return int(self._now().timestamp())

    def _mac(self, said: str) -> str:
        return hmac.new(self._key, _bytes(said), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # URLs and headers may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    return text.encode("utf-8", "surrogatepass")
