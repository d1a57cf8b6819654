"""Whether the writer's thread makes progress, as seen from other threads."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event


class Progress:
    """For how long the thread has been busy with one thing.

    Time in a database server does not count, since one that is away, or has no standby, may keep
    the thread waiting for hours. Time in a file counts.
    """

    def __init__(self, *, on_server: bool) -> None:
        self._on_server = on_server
        self._busy_since: float | None = None
        self._outside = Event()
        self._outside.set()

    @property
    def stuck_s(self) -> float:
        """For how long; 0 while it waits for commands, or for a server. In any thread."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def await_pause(self, most_s: float) -> None:
        """Wait until the thread is not in the store, but no longer than this. In any thread."""
        self._outside.wait(most_s)

    def begin(self) -> None:
        self._busy_since = time.monotonic()

    def rest(self) -> None:
        self._busy_since = None

    @contextmanager
    def in_store(self) -> Iterator[None]:
        """Do not count the time that a database server takes."""
        self._outside.clear()
        if self._on_server:
            self.rest()
        try:
            yield
        finally:
            self._outside.set()
            if self._on_server:
                self.begin()
