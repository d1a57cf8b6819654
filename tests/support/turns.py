"""A lease that somebody else holds, for as long as a test wants it."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.store.lease import Lease


@contextmanager
def taken(lease: Lease) -> Iterator[None]:
    """Nobody else gets it meanwhile."""
    assert lease.acquire()
    try:
        yield
    finally:
        lease.release()
