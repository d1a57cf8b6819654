"""Errors of backups."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.domain.errors import Expected
from ledger.images.errors import describe_os_error


class NotBackedUp(Expected):
    """No backup was made, and nothing of it is left; the disk may be full."""


class BadBackup(Expected):
    """The backup is not whole, not as it was written, or not of a sound ledger."""


class NotRestored(Expected):
    """No ledger was restored: there was one already, or it could not be written."""


@contextmanager
def failures_as(kind: type[NotBackedUp] | type[NotRestored]) -> Iterator[None]:
    """Raise failures of a disk, a store, an image or an archive as this error."""
    try:
        yield
    except OSError as error:
        raise kind(describe_os_error(error)) from error
    except Expected as error:
        raise kind(str(error)) from error
