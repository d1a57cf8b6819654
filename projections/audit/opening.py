"""A ledger's file, opened to be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import StoreFailed
from ledger.store.seam import Log
from ledger.store.sqlite import open_log
from projections.audit.findings import CannotReplay


@contextmanager
def opened(file: Path) -> Iterator[Log]:
    """The ledger in this file as of now. Raises `CannotReplay`."""
    if not file.is_file():
        raise CannotReplay(f"there is no ledger at {file}")
    try:
        with open_log(file) as log:
            yield log
    except StoreFailed as error:
        raise CannotReplay(str(error)) from error
