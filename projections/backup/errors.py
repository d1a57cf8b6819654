"""What can go wrong with a backup."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.archives import BadArchive
from ledger.errors import StoreFailed, UnknownEvent
from ledger.images import ImageError
from ledger.images.errors import described
from ledger.proofs.verifying import CannotVerify
from ledger.store.tiles import LeavesMissing


class NotBackedUp(Exception):
    """No backup was made, and nothing is left of it; the disk may be full."""


class BadBackup(Exception):
    """The backup is not whole, not what was written, or not of a sound ledger."""


class NotRestored(Exception):
    """There is no ledger more than before: there was one, or it could not be written."""


_EXPECTED = (
    BadArchive,
    BadBackup,
    CannotVerify,
    ImageError,
    LeavesMissing,
    StoreFailed,
    UnknownEvent,
)


@contextmanager
def named(kind: type[NotBackedUp] | type[NotRestored]) -> Iterator[None]:
    """Says of what kind it is that a disk, a store, an image or an archive fails."""
    try:
        yield
    except OSError as error:
        raise kind(described(error)) from error
    except _EXPECTED as error:
        raise kind(str(error)) from error
