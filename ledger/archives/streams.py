"""In which frames of an archive each stream is.

Three columns, sorted by the first: eight bytes of the SHA-256 of a stream's name, its first frame,
and how many frames further its last one is. About ten bytes for a stream where the name would take
twenty, and looked up without decoding. Two names with the same eight bytes share a row that covers
both, so nothing is missed; the reader checks the names in the frames.
"""

import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from ledger.archives.errors import BadArchive

_KEY, _FRAME = "Q", "I"
_KEY_BYTES, _FRAME_BYTES = 8, 4
_ROW_BYTES = _KEY_BYTES + 2 * _FRAME_BYTES


class StreamIndexBuilder:
    """Notes which streams are in which frames, from frame to frame."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def note(self, frame: int, streams: Iterable[str]) -> None:
        """Note that these streams have events in this frame; frames come in order."""
        for key in map(_key, streams):
            self._first.setdefault(key, frame)
            self._last[key] = frame

    def packed(self) -> bytes:
        """Return the index of everything noted."""
        keys = list(_sorted(self._first))
        firsts = [self._first[key] for key in keys]
        further = [self._last[key] - self._first[key] for key in keys]
        return _bytes(_KEY, keys) + _bytes(_FRAME, firsts) + _bytes(_FRAME, further)


class StreamIndex:
    """What `StreamIndexBuilder` packed. Raises `BadArchive` where it cannot have."""

    def __init__(self, packed: bytes) -> None:
        rows, rest = divmod(len(packed), _ROW_BYTES)
        if rest:
            raise BadArchive("the index of streams is cut off")
        columns = rows * _KEY_BYTES, rows * (_KEY_BYTES + _FRAME_BYTES)
        self._keys = _array(_KEY, packed[: columns[0]])
        self._firsts = _array(_FRAME, packed[columns[0] : columns[1]])
        self._further = _array(_FRAME, packed[columns[1] :])

    def frames(self, stream: str) -> range:
        """Return the frames that may have events of the stream, from the first to the last."""
        key = _key(stream)
        row = bisect_left(self._keys, key)
        if row == len(self._keys) or self._keys[row] != key:
            return range(0)
        first = self._firsts[row]
        return range(first, first + self._further[row] + 1)


def _sorted(keys: Iterable[int]) -> Iterator[int]:
    """Sort a share at a time: other threads would wait while all are sorted at once."""
    shares: list[list[int]] = [[] for _ in range(256)]
    for key in keys:
        shares[key >> 56].append(key)
    for share in shares:
        yield from sorted(share)


def _key(stream: str) -> int:
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:_KEY_BYTES])


def _bytes(kind: str, values: Iterable[int]) -> bytes:
    column = array(kind, values)
    _little_endian(column)
    return column.tobytes()


def _array(kind: str, packed: bytes) -> "array[int]":
    column = array(kind)
    column.frombytes(packed)
    _little_endian(column)
    return column


def _little_endian(column: "array[int]") -> None:
    if sys.byteorder == "big":
        column.byteswap()
