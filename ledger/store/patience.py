"""How long reads and requests wait for a store that cannot be reached, and what the log says."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ledger.domain.errors import Expected
from ledger.domain.errors.store import StoreFailed, StoreUnreachable
from ledger.store.seam import Cursor

T = TypeVar("T")

WAIT_MAX_S = 60
"""How long to wait for a store that cannot be reached."""
PAUSE_S = 0.1
ANSWER_S = 50.0
"""How long a request waits for its commit: clients and proxies wait for at most a minute."""
STAMP_S = 45.0
"""How long stamps may be refused: its request then still learns that nothing was recorded."""

LOGGED_S = 60.0
"""How often the log says that something still fails."""


class Readable(Protocol):
    """A store, or a reader of one."""

    def read(self, work: Callable[[Cursor], T]) -> T: ...


def read_patiently(store: Readable, work: Callable[[Cursor], T]) -> T:
    """Read from the store; repeat the read while the store cannot be reached.

    Raises `StoreUnreachable` in the end.
    """
    until = time.monotonic() + WAIT_MAX_S
    while True:
        try:
            return store.read(work)
        except StoreUnreachable:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)


class OutageLog:
    """Says that something fails, once a minute that it still does, and when that is over.

    Any thread may call its methods.
    """

    def __init__(
        self,
        log: logging.Logger,
        failure: str,
        *,
        expected: tuple[type[Exception], ...] = (StoreFailed,),
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`failure` says what is not done; `expected` are errors that pass by themselves."""
        self._log = log
        self._failure = failure
        self._expected = expected
        self._elapsed_s = elapsed_s
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told_at = -math.inf
        self._told: int | None = None

    def failed(self, error: Exception) -> None:
        """Note that it has failed once more. A worse error than the last one told is told at once.

        An error that nobody expects is told with its stack.
        """
        level = self._level_of(error)
        with self._lock:
            now = self._elapsed_s()
            since = self._since = now if self._since is None else self._since
            is_worse = self._told is None or level > self._told
            if not is_worse and now - self._told_at < LOGGED_S:
                return
            self._told_at, self._told = now, level
        stack = None if isinstance(error, (*self._expected, Expected)) else error
        for_s = f" for {now - since:.0f} s" if now > since else ""
        self._log.log(
            level, "%s%s: %s", self._failure, for_s, str(error) or repr(error), exc_info=stack
        )

    def works(self) -> None:
        """Note that it has worked."""
        if self._since is None:
            return
        with self._lock:
            since, self._since, self._told = self._since, None, None
        if since is not None:
            for_s = self._elapsed_s() - since
            self._log.warning("%s: over after %.0f s", self._failure, for_s)

    def _level_of(self, error: Exception) -> int:
        return logging.WARNING if isinstance(error, self._expected) else logging.ERROR
