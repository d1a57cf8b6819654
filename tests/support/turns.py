"""A turn that somebody has, for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.store.seam import Turn


@contextmanager
def taken(turn: Turn) -> Iterator[None]:
    assert turn.acquire()
    try:
        yield
    finally:
        turn.release()
