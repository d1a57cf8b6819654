"""A ledger's file, opened to be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import StoreFailed
from ledger.store import pg_log, sqlite
from ledger.store.seam import Log
from projections.audit.findings import CannotReplay


@contextmanager
def opened(ledger: Path | str) -> Iterator[Log]:
    """The ledger in this file, or at this url, as of now. Raises `CannotReplay`."""
    if isinstance(ledger, Path) and not ledger.is_file():
        raise CannotReplay(f"there is no ledger at {ledger}")
    opening = sqlite.open_log(ledger) if isinstance(ledger, Path) else pg_log.open_log(ledger)
    try:
        with opening as log:
            yield log
    except StoreFailed as error:
        raise CannotReplay(str(error)) from error
