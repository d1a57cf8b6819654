"""The clock of the database server, as this process knows it."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.domain.stamps import microseconds, moment_of
from ledger.store.seam import Cursor

CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The server's clock in SQL, in microseconds since 1970."""
STORE_TIME = f"to_timestamp(greatest(latest, coalesce({{}}::bigint, {CLOCK})) / 1000000.0)"
"""The store's time in SQL, which never goes back. It reads `leaf_count`, and the braces take what
counts instead of the server's clock, or NULL."""


def server_time(cursor: Cursor) -> datetime:
    """Return what the server's clock shows."""
    cursor.execute(f"SELECT {CLOCK}")
    return moment_of(cursor.fetchone()[0])


class _Said(NamedTuple):
    """An answer of the server, when it arrived, and how long it may have been under way."""

    time: datetime
    heard_s: float
    took_s: float


class ServerClock:
    """What the server's clock showed when it was last asked, plus the time since.

    It is never ahead of the server's: an answer is old by at most as long as it took. The best of
    all answers counts, as long as the server's clock does not go back.
    """

    def __init__(
        self,
        instead: Callable[[], datetime] | None = None,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`instead` is a clock to follow instead of the server's, for tests."""
        self._instead = instead
        self._elapsed_s = elapsed_s
        self._said: _Said | None = None
        self._shown: datetime | None = None

    def __call__(self) -> datetime:
        if self._instead is not None:
            self._shown = self._instead()
            return self._shown
        assert self._said is not None, "the server is asked when the store is opened"
        return _continued(self._said, self._elapsed_s())

    def begin(self) -> float:
        """Return what `note` needs of the moment before the server is asked."""
        return self._elapsed_s()

    def note(self, clock: int, asked_s: float) -> None:
        """Note the server's answer, in microseconds."""
        heard_s = self._elapsed_s()
        said = _Said(moment_of(clock), heard_s, heard_s - asked_s)
        if self._said is not None:
            expected = _continued(self._said, heard_s)
            if said.time <= expected <= said.time + timedelta(seconds=said.took_s):
                return  # what is known already is as good
        self._said = said

    def parameter(self) -> int | None:
        """Return what the clock of a test showed last, at first 1970; None without such a clock."""
        if self._instead is None:
            return None
        return 0 if self._shown is None else microseconds(self._shown)

    def offset(self, own: Callable[[], datetime]) -> timedelta:
        """Return by how much at least this clock is ahead of the server's."""
        if self._instead is not None or self._said is None:
            return timedelta(0)
        took = timedelta(seconds=self._said.took_s)
        least, shown, most = self(), own(), self() + took
        return shown - least if shown < least else max(shown - most, timedelta(0))


def _continued(said: _Said, elapsed_s: float) -> datetime:
    return said.time + timedelta(seconds=elapsed_s - said.heard_s)
