"""A queue in which accounts take turns; within an account, first come is first served."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Hands out items of one account after the other, however many one account has."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, dict[T, None]] = OrderedDict()
        """The items of each account that has any; the account whose turn it is comes first."""

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, account: str, item: T, *, first: bool = False) -> None:
        """Add an item behind the account's others, or before them."""
        others = self._waiting.get(account, {})
        self._waiting[account] = {item: None, **others} if first else {**others, item: None}

    def remove(self, account: str, item: T) -> None:
        """Remove an item, unless it has been handed out."""
        items = self._waiting.get(account, {})
        items.pop(item, None)
        if not items:
            self._waiting.pop(account, None)

    def next(self, may: Callable[[str], bool]) -> tuple[str, T] | None:
        """Return the next item of the first account that may have its turn; None if none may."""
        account = next(filter(may, self._waiting), None)
        if account is None:
            return None
        item = next(iter(self._waiting[account]))
        self._waiting.move_to_end(account)
        self.remove(account, item)
        return account, item
