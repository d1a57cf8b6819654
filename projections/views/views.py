"""Snapshots of the read models for the API. Counts of lists last from one commit to the next."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ledger.store.log import Connection
from ledger.store.readers import Reader
from projections.views.filters import Condition, Conditions
from projections.views.snapshot import Snapshot

REMEMBERED_COUNTS = 1_000
"""Counts of lists that are kept until the next commit."""

_List = tuple[str, tuple[str, ...] | None, tuple[Condition, ...]]


class _Remembering(Snapshot):
    """A snapshot that counts each list of jobs once between commits: counting reads all of it."""

    def __init__(self, connection: Connection, counts: dict[_List, int]) -> None:
        super().__init__(connection)
        self._counts = counts

    def count_jobs(
        self, owner: str, states: Sequence[str] | None, conditions: Conditions = ()
    ) -> int:
        key = owner, None if states is None else tuple(states), tuple(conditions)
        if key not in self._counts:
            self._counts[key] = super().count_jobs(owner, states, conditions)
        return self._counts[key]


class Views:
    """Gives the API its snapshots.

    `commits` returns a number that changes with every commit to the ledger, before the commit is
    reported: while it stays the same, so does every answer. Without `commits` nothing is
    remembered. Any failure to read is `StoreFailed`.
    """

    def __init__(self, reader: Reader, commits: Callable[[], int] | None) -> None:
        self._reader = reader
        self._commits = commits
        self._counts: dict[_List, int] = {}
        self._read_at = -1

    def _drop_stale_counts(self) -> None:
        commits = self._read_at + 1 if self._commits is None else self._commits()
        if commits != self._read_at or len(self._counts) >= REMEMBERED_COUNTS:
            self._counts.clear()
            self._read_at = commits

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a snapshot for a few short reads in the event loop, without awaiting in between."""
        # Before the snapshot begins: an answer must be as new as the commit that it is kept for.
        self._drop_stale_counts()
        with self._reader.snapshot() as connection:
            yield _Remembering(connection, self._counts)

    @contextmanager
    def long_snapshot(self) -> Iterator[Snapshot]:
        """Open a snapshot for a long read in any thread, with a connection of its own."""
        with self._reader.long_snapshot() as connection:
            yield Snapshot(connection)

    def close(self) -> None:
        self._reader.close()
