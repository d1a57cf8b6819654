"""What only one does at a time."""

import threading
from typing import Protocol


class Lease(Protocol):
    """Held by one thread of a process at a time, and by one process of all that share a ledger."""

    def acquire(self) -> bool:
        """Take the lease if nobody holds it, and say whether it was taken.

        Raises `StoreUnreachable`.
        """

    def release(self) -> None: ...

    def locked(self) -> bool:
        """Whether somebody in this process holds it."""

    def check(self) -> None:
        """Raises `StoreUnreachable` if another process may hold it by now."""


class ThreadLease:
    """A `Lease` among the threads of the only process that has the ledger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def check(self) -> None:
        """No other process could hold it."""
