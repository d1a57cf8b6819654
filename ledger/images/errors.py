"""The errors of work on images, named for what happened."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ledger.domain.errors import Expected

# EFBIG is a limit of the file system or of the process: for the pool it means the same.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ImageError(Expected):
    """Work on an image did not succeed."""


class PoolFull(ImageError):
    """The pool has no room for the image: disk full, quota reached or file too big for it."""


class PoolMissing(ImageError):
    """The pool that the image lies in is not configured."""


class ImageMissing(ImageError):
    """The image is not where it should be."""


class NotRegular(ImageError):
    """Something that is not a regular file has the name of the image, or of a part of it."""


class SourceChanged(ImageError):
    """The source is not, or no longer, the file whose fingerprint was taken."""


class SourceVanished(ImageError):
    """The source is no longer where it was."""


class CopyStopped(ImageError):
    """The copy was asked to stop; it can be resumed from its last checkpoint."""


class ImageBusy(ImageError):
    """Another process is changing the image."""


class PartTaken(ImageError):
    """Another attempt at the copy has taken its part file over."""


class CopyFailed(ImageError):
    """The operating system reported an error while copying; the text is its errno's."""


class VerificationFailed(ImageError):
    """The part file does not read back as what the source holds."""


@contextmanager
def full_pool_errors() -> Iterator[None]:
    """Turn the OSErrors that mean "no room" into PoolFull; let all others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise PoolFull(describe_os_error(error)) from error
        raise


def owner_reason(error: Exception, otherwise: str) -> str:
    """Return what happened in words for the owner: details of this machine stay in the log."""
    if isinstance(error, ImageError):
        summary = (type(error).__doc__ or "").partition("\n")[0]
        return f"{type(error).__name__}: {summary}"
    return otherwise


def describe_os_error(error: OSError) -> str:
    """Return the errno's text, with the file's name if the error has one."""
    text = error.strerror or str(error)
    return f"{text}: {error.filename}" if error.filename else text
