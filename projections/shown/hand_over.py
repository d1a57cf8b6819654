"""Commits on their way from the writer's thread to the event loop."""

from collections.abc import Callable, Sequence
from threading import Lock

from ledger.store.seam import Anew, Commit

WAITING_MOST = 1_024
"""Commits that wait for an event loop; with more, anything may have changed."""


class HandOver:
    """Keeps commits until the event loop takes them.

    What was put before somebody was told of a commit is there for whoever was told.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        """`wake` is called when the first comes, so that they do not pile up without readers."""
        self._wake = wake
        self._lock = Lock()
        self._waiting: list[Commit | Anew] = []

    def put(self, news: Commit | Anew) -> None:
        """Hand news over, in any thread."""
        with self._lock:
            is_first = not self._waiting
            if len(self._waiting) >= WAITING_MOST:
                self._waiting = _merged(self._waiting)
            self._waiting.append(news)
        if is_first:
            self._wake()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Sequence[Commit | Anew]:
        """Take all that wait, in order."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken


def _merged(waiting: Sequence[Commit | Anew]) -> list[Commit | Anew]:
    """Return what stands for all of these: anything may have changed."""
    said: list[Anew] = [each for each in waiting if not isinstance(each, Commit)]
    return [said[-1] if said else "rows have changed"]
