"""A lease that another process holds during a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.store.lease import Lease


@contextmanager
def taken(lease: Lease) -> Iterator[None]:
    """Hold it until the block ends."""
    assert lease.acquire()
    try:
        yield
    finally:
        lease.release()
