"""Lanes: whose turn it is to use one of a few threads."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from api.service.fair_queue import FairQueue

T = TypeVar("T")


class Lanes(Generic[T]):
    """Decides who runs in one of the threads: accounts take turns, and none has them all."""

    def __init__(
        self, threads: int, running_each: int, may: Callable[[str], bool] = lambda _: True
    ) -> None:
        """At most `running_each` of an account run at once; 0 is no limit. `may` can forbid it."""
        self._free = threads
        self._running_each = running_each
        self._may = may
        self._running: Counter[str] = Counter()
        self._queue = FairQueue[T]()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def wait(self, account: str, turn: T, *, first: bool = False) -> None:
        self._queue.add(account, turn, first=first)

    def leave(self, account: str, turn: T) -> None:
        self._queue.remove(account, turn)

    def turns(self) -> Iterator[tuple[str, T]]:
        """Yield those that may run now: each has a thread until `end` is called."""
        while self._free and (found := self._queue.next(self._may_run)) is not None:
            account, _ = found
            self._free -= 1
            self._running[account] += 1
            yield found

    def end(self, account: str) -> None:
        """Take back the thread of one that has run."""
        self._free += 1
        self._running[account] -= 1
        if not self._running[account]:
            del self._running[account]

    def _may_run(self, account: str) -> bool:
        is_free = not self._running_each or self._running[account] < self._running_each
        return is_free and self._may(account)
