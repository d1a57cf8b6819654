"""Links for sending a chunk: `<drive>.<number>.<chunk size>.<unix time>.<hex hmac>`.

A link needs no other credentials, and only allows sending this chunk.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.accounts.signing import Keys, Signing
from api.http.errors import Forbidden

VALID_S = 300


class LinkedChunk(NamedTuple):
    """The chunk that a link is for; `number` counts from 0, `chunk_size` is in bytes."""

    drive: str
    number: int
    chunk_size: int


class UploadLinks:
    """Makes and reads the tokens of links."""

    def __init__(self, now: Callable[[], datetime], keys: Keys) -> None:
        self._signing = Signing(now, keys, separator=".", valid_s=VALID_S)

    def token(self, chunk: LinkedChunk) -> str:
        """Return the token of a chunk. Raise `StoreUnreachable`."""
        return self._signing.sign(chunk.drive, str(chunk.number), str(chunk.chunk_size))

    def read(self, token: str) -> LinkedChunk:
        """Return a token's chunk. Raise `Forbidden` if it is forged, too old or from the future."""
        parts = self._signing.read(token)
        if parts is None:
            message = "the link is not valid, or not any more: ask for another"
            raise Forbidden(message, why="state")
        drive, number, chunk_size = parts
        return LinkedChunk(drive, int(number), int(chunk_size))
