"""Somebody else's turn, for as long as a test wants it."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.store.seam import Turn


@contextmanager
def taken(turn: Turn) -> Iterator[None]:
    """It is nobody else's meanwhile."""
    assert turn.acquire()
    try:
        yield
    finally:
        turn.release()
