"""The failure of a store, after which a writer begins nothing more."""

import contextlib
import logging
from collections.abc import Callable

from ledger.domain.errors.store import StoreFailed

log = logging.getLogger(__name__)


class Failure:
    """None until the store fails for good."""

    def __init__(self, on_failure: Callable[[StoreFailed], None]) -> None:
        self._on_failure = on_failure
        self.error: StoreFailed | None = None
        """Raised from then on: nothing is committed any more."""

    def note(self, error: StoreFailed) -> None:
        """Stop for good: nothing more is begun or acknowledged."""
        if self.error is None:
            self.error = StoreFailed(str(error))
            log.critical("the store failed, the process must stop: %s", error)
            with contextlib.suppress(RuntimeError):  # the event loop is closed already
                self._on_failure(error)
