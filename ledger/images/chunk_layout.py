"""How an image is cut into chunks: all have one size, but the last, which has the rest as well.

So there are `total_size // chunk_size` of them, at least one, numbered from 0, and the last has
fewer than twice as many bytes as the others.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain.aggregates.drive import SIZE_STEP
from ledger.domain.errors import ChunkingChanged, ChunkMisfit

CHUNKS_MOST = 100_000
"""Chunks of an upload; a byte of memory is kept for each."""


class Extent(NamedTuple):
    """Where a chunk lies in its image."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Chunking:
    """What is said of an upload as a whole, in bytes; both sizes are above 0.

    The `total_size` may be unsaid; then any chunk before the last has its place, and only that.
    """

    chunk_size: int
    total_size: int | None = None

    def count(self, size: int) -> int:
        """How many chunks there are, or can be at the most, in a drive of `size` bytes."""
        return max(1, (self.total_size or size) // self.chunk_size)

    def extent(self, number: int, size: int) -> Extent:
        """Where chunk `number` lies in a drive of `size` bytes. Raises `ChunkMisfit`."""
        count = self.count(size)
        if self.total_size is not None and self.total_size > size:
            raise ChunkMisfit(f"the drive has {size} bytes, the upload {self.total_size}")
        if count > CHUNKS_MOST:
            raise ChunkMisfit(f"an upload has {CHUNKS_MOST} chunks at the most, this has {count}")
        if not 0 <= number < count:
            raise ChunkMisfit(f"there are {count} chunks; this would be beyond them")
        offset = number * self.chunk_size
        if self.total_size is not None and number == count - 1:
            return Extent(offset, self.total_size - offset)
        return Extent(offset, min(self.chunk_size, size - offset))

    def told_by(self, number: int, length: int, size: int) -> "Chunking":
        """With the total size, if it was unsaid and chunk `number`, of so many bytes, tells it.

        That is the chunk that ends where the drive does, but for what its size was rounded up by.
        With chunks of `SIZE_STEP` bytes or more there is only one.
        """
        end = number * self.chunk_size + length
        if self.total_size is None and size - SIZE_STEP < end <= size:
            return Chunking(self.chunk_size, end)
        return self

    def merged(self, other: "Chunking") -> "Chunking":
        """What both say together. Raises `ChunkingChanged` if they contradict each other."""
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
