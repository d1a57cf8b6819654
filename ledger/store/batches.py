"""Long work in short pieces."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def sliced(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the whole in order, at most `size` elements at a time."""
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
