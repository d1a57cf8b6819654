"""How an image is cut into chunks: all have the same size, except the last, which has the rest too.

So there are `total_size // chunk_size` of them, at least one, numbered from 0, and the last has
fewer than twice as many bytes as the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from ledger.domain.aggregates.drive import SIZE_STEP
from ledger.domain.errors.uploads import ChunkingChanged, ChunkMisfit

CHUNKS_MAX = 100_000
"""Chunks of an upload; each takes a byte of memory."""


class Extent(NamedTuple):
    """Where a chunk lies in its image."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Chunking:
    """What a client says of an upload as a whole, in bytes; both sizes are above 0.

    Without a `total_size`, only the chunks before the last can be placed.
    """

    chunk_size: int
    total_size: int | None = None

    def count(self, size: int) -> int:
        """Return how many chunks a drive of `size` bytes has, or can have at most."""
        return max(1, (self.total_size or size) // self.chunk_size)

    def extent(self, number: int, size: int) -> Extent:
        """Return where chunk `number` lies in a drive of `size` bytes. Raises `ChunkMisfit`."""
        count = self.count(size)
        if self.total_size is not None and self.total_size > size:
            raise ChunkMisfit(f"the drive has {size} bytes, the upload {self.total_size}")
        if count > CHUNKS_MAX:
            raise ChunkMisfit(f"an upload has {CHUNKS_MAX} chunks at the most, this has {count}")
        if not 0 <= number < count:
            raise ChunkMisfit(f"there are {count} chunks; this would be beyond them")
        offset = number * self.chunk_size
        if self.total_size is not None and number == count - 1:
            return Extent(offset, self.total_size - offset)
        return Extent(offset, min(self.chunk_size, size - offset))

    def with_total_from(self, number: int, length: int, size: int) -> "Chunking":
        """Add the total size if it is missing and follows from chunk `number` and its length.

        It follows from the chunk that ends where the drive ends, less what the drive's size was
        rounded up by. With chunks of `SIZE_STEP` bytes or more there is only one such chunk.
        """
        end = number * self.chunk_size + length
        if self.total_size is None and size - SIZE_STEP < end <= size:
            return Chunking(self.chunk_size, end)
        return self

    def merged(self, other: "Chunking") -> "Chunking":
        """Return what both say together. Raises `ChunkingChanged` if they contradict each other."""
        if self.chunk_size != other.chunk_size:
            raise ChunkingChanged(
                f"chunks of {other.chunk_size} bytes came before; they cannot have"
                f" {self.chunk_size} now"
            )
        if None not in (self.total_size, other.total_size) and self.total_size != other.total_size:
            raise ChunkingChanged(
                f"the upload was said to have {other.total_size} bytes; it cannot have"
                f" {self.total_size} now"
            )
        return Chunking(self.chunk_size, self.total_size or other.total_size)


class Place(NamedTuple):
    """Where a chunk belongs, by everything that is known of its upload."""

    number: int
    chunking: Chunking
    extent: Extent


class ChunkMap:
    """Which chunks of an image of `size` bytes are there, and what they say of its layout."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._chunking: Chunking | None = None
        self._present = bytearray()  # 1 for each chunk that is there
        self._count = 0

    @property
    def empty(self) -> bool:
        return self._chunking is None

    @property
    def total_size(self) -> int | None:
        """The size of the upload, once any chunk has said it."""
        return None if self._chunking is None else self._chunking.total_size

    @property
    def complete(self) -> bool:
        chunking = self._chunking
        if chunking is None or chunking.total_size is None:
            return False
        return self._count == chunking.count(self.size)

    def has(self, number: int) -> bool:
        return number < len(self._present) and self._present[number] == 1

    def add(self, number: int, chunking: Chunking) -> None:
        """Note that a chunk is there."""
        self._chunking = chunking if self._chunking is None else self._chunking.merged(chunking)
        if not self._present:
            self._present = bytearray(self._chunking.count(self.size))
        self._count += 1 - self._present[number]
        self._present[number] = 1

    def place(self, number: int, chunking: Chunking, others: Sequence[Place]) -> Place:
        """Return where a chunk belongs, given `others` that are on their way.

        Raises `ChunkMisfit`, and `ChunkingChanged` if it contradicts the chunks that are there or
        on their way.
        """
        known = [] if self._chunking is None else [self._chunking]
        for earlier in chain(known, (other.chunking for other in others)):
            chunking = chunking.merged(earlier)
        extent = chunking.extent(number, self.size)
        # A total size that was not known before makes one of the chunks the last.
        last = chunking.count(self.size) - 1
        total_is_new = bool(known) and self.total_size is None and chunking.total_size is not None
        if total_is_new and self._present.rfind(1) >= last:
            raise ChunkingChanged("a chunk that is there would be longer")
        if any(chunking.extent(other.number, self.size) != other.extent for other in others):
            raise ChunkingChanged("a chunk that is on its way would be another one")
        return Place(number, chunking, extent)
