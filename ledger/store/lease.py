"""Leases on work that only one thread of one process does at a time."""

import threading
import time
from typing import Protocol

POLL_S = 0.5
"""In PostgreSQL, each try makes a connection."""
PATIENCE_S = 30.0
"""How long a run or rebuild that an operator asks for waits for other maintenance to end."""


class Lease(Protocol):
    """Held by one thread at a time, in one of the processes that share a ledger."""

    def acquire(self) -> bool:
        """Take the lease if nobody holds it, and say whether it was taken.

        Raises `StoreUnreachable`.
        """

    def release(self) -> None: ...

    def locked(self) -> bool:
        """Whether this process holds it."""

    def check(self) -> None:
        """Raise `StoreUnreachable` if another process may hold it by now."""


class ThreadLease:
    """A `Lease` among the threads of the only process that uses the ledger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def check(self) -> None:
        """Do nothing: no other process can hold it."""


def acquire_within(
    lease: Lease, patience_s: float, stopping: threading.Event | None = None
) -> bool:
    """Take a lease that others may hold for some seconds, and say whether it was taken.

    Give up at once when `stopping` is set. Raise `StoreUnreachable`.
    """
    until = time.monotonic() + patience_s
    interrupted = stopping or threading.Event()
    while not lease.acquire():
        if time.monotonic() >= until or interrupted.wait(POLL_S):
            return False
    return True
