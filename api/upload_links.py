"""Links to send a chunk to: `<drive>.<number>.<chunk size>.<unix time>.<hex hmac>`.

Whoever has one needs no other credentials, and can do nothing but send this chunk. Nothing of it is
stored: the key is this process's own, so a restart ends the links before it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.errors import LinkInvalid

VALID_S = 300


class LinkedChunk(NamedTuple):
    """What a link is for; the chunk's number is from 0 up, its size in bytes."""

    drive: str
    number: int
    chunk_size: int


class UploadLinks:
    """Makes and reads their tokens."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)

    def token(self, chunk: LinkedChunk) -> str:
        said = f"{chunk.drive}.{chunk.number}.{chunk.chunk_size}.{self._time()}"
        return f"{said}.{self._mac(said)}"

    def read(self, token: str) -> LinkedChunk:
        """Raises `LinkInvalid` for one that is not ours, too old, or made later than now."""
        said, _, mac = token.rpartition(".")
        if not hmac.compare_digest(_bytes(self._mac(said)), _bytes(mac)):
            raise LinkInvalid
        drive, number, chunk_size, made = said.split(".")
        if not 0 <= self._time() - int(made) <= VALID_S:
            raise LinkInvalid
        return LinkedChunk(drive, int(number), int(chunk_size))

    def _time(self) -> int:
        return int(self._now().timestamp())

    def _mac(self, said: str) -> str:
        return hmac.new(self._key, _bytes(said), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # URLs may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    return text.encode("utf-8", "surrogatepass")
