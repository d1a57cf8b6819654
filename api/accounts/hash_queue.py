"""The queue of passwords that wait to be hashed. Pure."""

import bisect
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from api.accounts.throttle import PlaceClass, Rank

V = TypeVar("V")

_ORDER: tuple[PlaceClass, ...] = ("known", "new", "failing")


class _Entry(NamedTuple, Generic[V]):
    """Sorted by its first three fields, of which the third is unique."""

    place_class: int
    failures: float
    number: int
    network: str
    value: V


class HashQueue(Generic[V]):
    """Values in the order of their ranks, and of one rank in the order in which they came."""

    def __init__(self, *, length_max: int, at_address_max: int) -> None:
        """A limit of 0 is none."""
        self._length_max = length_max
        self._at_address_max = at_address_max
        self._entries: list[_Entry[V]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, value: V, rank: Rank, network: str) -> V | None:
        """Add a value; return the one that makes room for it, maybe itself."""
        if rank.place_class != "known" and self._is_full_at(network):
            return value
        place_class = _ORDER.index(rank.place_class)
        entry = _Entry(place_class, rank.failures, next(self._numbers), network, value)
        bisect.insort(self._entries, entry)
        if 0 < self._length_max < len(self._entries):
            return self._entries.pop().value
        return None

    def take(self, *, failing: bool) -> V | None:
        """Take the first value; of the class `failing` only if that is asked for."""
        if not self._entries:
            return None
        if not failing and _ORDER[self._entries[0].place_class] == "failing":
            return None
        return self._entries.pop(0).value

    def _is_full_at(self, network: str) -> bool:
        known = _ORDER.index("known")
        waiting = sum(
            entry.network == network and entry.place_class != known for entry in self._entries
        )
        return 0 < self._at_address_max <= waiting
