"""Waiting for a store that cannot be reached."""

import time
from collections.abc import Callable
from typing import TypeVar

from ledger.domain.errors import StoreUnreachable
from ledger.store.seam import Cursor, Store

T = TypeVar("T")

REACHED_S = 60
"""How long a store that cannot be reached is waited for."""
PAUSE_S = 0.1


def read_patiently(store: Store, work: Callable[[Cursor], T]) -> T:
    """Read from the store, again and again as long as it cannot be reached.

    Raises `StoreUnreachable` in the end.
    """
    until = time.monotonic() + REACHED_S
    while True:
        try:
            return store.read(work)
        except StoreUnreachable:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)
