"""Merges what several archives hold, in the order of positions."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class Positioned(Protocol):
    """Something at a position of the ledger."""

    @property
    def position(self) -> int: ...


P = TypeVar("P", bound=Positioned)


def merge_by_position(sources: Iterable[tuple[int, Iterator[P]]]) -> Iterator[P]:
    """Merge iterators, each given with the lowest position that it can have.

    An iterator is not started before that position is reached, so that not all archives are read at
    once. Items at one position come in the order of their sources.
    """
    heap: list[tuple[int, int, P | None, Iterator[P]]] = [
        (first, number, None, source) for number, (first, source) in enumerate(sources)
    ]
    heapq.heapify(heap)
    while heap:
        _, number, item, source = heapq.heappop(heap)
        if item is not None:
            yield item
        for following in source:
            heapq.heappush(heap, (following.position, number, following, source))
            break
