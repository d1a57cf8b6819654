"""What can go wrong with a backup."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.domain.errors import Expected
from ledger.images.errors import described


class NotBackedUp(Expected):
    """No backup was made, and nothing is left of it; the disk may be full."""


class BadBackup(Expected):
    """The backup is not whole, not what was written, or not of a sound ledger."""


class NotRestored(Expected):
    """There is no ledger more than before: there was one, or it could not be written."""


@contextmanager
def failures_as(kind: type[NotBackedUp] | type[NotRestored]) -> Iterator[None]:
    """Says of what kind it is that a disk, a store, an image or an archive fails."""
    try:
        yield
    except OSError as error:
        raise kind(described(error)) from error
    except Expected as error:
        raise kind(str(error)) from error
