"""Links to send a chunk to: `<drive>.<number>.<chunk size>.<unix time>.<hex hmac>`.

Whoever has one needs no other credentials, and can do nothing but send this chunk.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.accounts.signing import Keys, Signing
from api.http.errors import Forbidden

VALID_S = 300


class LinkedChunk(NamedTuple):
    """What a link is for; the chunk's number is from 0 up, its size in bytes."""

    drive: str
    number: int
    chunk_size: int


class UploadLinks:
    """Makes and reads their tokens."""

    def __init__(self, now: Callable[[], datetime], keys: Keys) -> None:
        self._signing = Signing(now, keys, separator=".", valid_s=VALID_S)

    def token(self, chunk: LinkedChunk) -> str:
        """Raises `StoreUnreachable`."""
        return self._signing.sign(chunk.drive, str(chunk.number), str(chunk.chunk_size))

    def read(self, token: str) -> LinkedChunk:
        """Raises `Forbidden` for one that is not ours, too old, or made later than now."""
        parts = self._signing.read(token)
        if parts is None:
            raise Forbidden("the link is not valid, or not any more: ask for another")
        drive, number, chunk_size = parts
        return LinkedChunk(drive, int(number), int(chunk_size))
