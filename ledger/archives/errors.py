"""What can go wrong with an archive."""

from ledger.domain.errors import Expected


class BadArchive(Expected):
    """The file is no archive, not whole, not what was written, or cannot be read."""


class ArchiveMissing(BadArchive):
    """There is no archive of that name."""


class ArchiveNotWritten(Expected):
    """The archive could not be written, and is not there; the disk may be full."""
