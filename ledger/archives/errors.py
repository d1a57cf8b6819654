"""What can go wrong with an archive."""

from ledger.domain.errors import Expected


class BadArchive(Expected):
    """The file is not an archive, incomplete, changed, or cannot be read."""


class ArchiveMissing(BadArchive):
    """There is no archive of that name."""


class ArchiveNotWritten(Expected):
    """The archive could not be written, and is not there; the disk may be full."""
