"""How long reads and requests wait for a store that cannot be reached."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ledger.domain.errors.store import StoreUnreachable
from ledger.store.seam import Cursor

T = TypeVar("T")

WAIT_MAX_S = 60
"""How long to wait for a store that cannot be reached."""
PAUSE_S = 0.1
ANSWER_S = 50.0
"""How long a request waits for its commit: clients and proxies wait for at most a minute."""
STAMP_S = 45.0
"""How long stamps may be refused: its request then still learns that nothing was recorded."""


class Readable(Protocol):
    """A store, or a reader of one."""

    def read(self, work: Callable[[Cursor], T]) -> T: ...


def read_patiently(store: Readable, work: Callable[[Cursor], T]) -> T:
    """Read from the store; repeat the read while the store cannot be reached.

    Raises `StoreUnreachable` in the end.
    """
    until = time.monotonic() + WAIT_MAX_S
    while True:
        try:
            return store.read(work)
        except StoreUnreachable:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)
