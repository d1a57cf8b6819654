"""A cache of the values that were put last, bounded in number and in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """Keeps the values that were put last, by name; the newest in any case."""

    def __init__(self, most: int, most_bytes: int, size: Callable[[V], int]) -> None:
        """`size` returns about how many bytes a value takes beyond what all of them take."""
        self._most = most
        self._most_bytes = most_bytes
        self._size = size
        self._kept: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self.bytes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str) -> V | None:
        kept = self._kept.get(name)
        return None if kept is None else kept[0]

    def put(self, news: Mapping[str, V]) -> None:
        for name, value in news.items():
            self.drop(name)
            size = self._size(value)
            self._kept[name] = value, size
            self.bytes += size
        while len(self) > self._most or (self.bytes > self._most_bytes and len(self) > 1):
            _, (_, size) = self._kept.popitem(last=False)
            self.bytes -= size

    def drop(self, name: str) -> None:
        """Drop a value, if it is there."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            self.bytes -= kept[1]

    def clear(self) -> None:
        self._kept.clear()
        self.bytes = 0
