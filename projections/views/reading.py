"""Where the API reads: snapshots of the read models, and what is remembered between two commits."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import StoreFailed
from ledger.store.sqlite import open_connection
from projections.views.records import JobTree
from projections.views.snapshot import Snapshot

REMEMBERED = 1_000
"""Job trees, and counts of lists, that are kept until something is written."""


class SqliteViews:
    """Where the API reads. One connection for the event loop's short reads; long ones get theirs.

    `commits` is a number that changes with every commit to the ledger, before anybody is told of
    it: what was read under the same number is what would be read again. Any failure to read is
    `StoreFailed`.
    """

    def __init__(self, file: Path, commits: Callable[[], int]) -> None:
        self._file = file
        self._commits = commits
        self._connection = open_connection(file, writing=False)
        self._trees: dict[tuple[str, str], JobTree | None] = {}
        self._counts: dict[tuple[str, tuple[str, ...] | None], int] = {}
        self._read_at = commits()

    def job(self, uuid: str, owner: str) -> JobTree | None:
        """The job and all below it; from memory as long as nothing was written since it was read.

        Watchers ask for the same jobs again and again. For the event loop only, like `snapshot`.
        """
        self._forget_what_is_stale()
        if (uuid, owner) not in self._trees:
            with self.snapshot() as snapshot:
                self._trees[uuid, owner] = snapshot.job(uuid, owner)
        return self._trees[uuid, owner]

    def count_jobs(self, snapshot: Snapshot, owner: str, states: Sequence[str] | None) -> int:
        """`snapshot.count_jobs`, of a snapshot of ours, from memory likewise: it reads them all."""
        key = owner, None if states is None else tuple(states)
        if key not in self._counts:
            self._counts[key] = snapshot.count_jobs(owner, states)
        return self._counts[key]

    def _forget_what_is_stale(self) -> None:
        commits = self._commits()
        full = max(len(self._trees), len(self._counts)) >= REMEMBERED
        if commits != self._read_at or full:
            self._trees.clear()
            self._counts.clear()
            self._read_at = commits

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """For a few short reads in the event loop's thread, which must not await in between."""
        # Before it begins: what is read is then at least as new as what it is remembered for.
        self._forget_what_is_stale()
        with _transaction(self._connection) as snapshot:
            yield snapshot

    @contextmanager
    def long_snapshot(self) -> Iterator[Snapshot]:
        """For a long read in any thread, over a connection of its own."""
        connection = open_connection(self._file, writing=False)
        try:
            with _transaction(connection) as snapshot:
                yield snapshot
        finally:
            connection.close()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[Snapshot]:
    with _store_errors():
        connection.execute("BEGIN")
        try:
            yield Snapshot(connection)
        finally:
            connection.execute("ROLLBACK")


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreFailed(f"SQLite: {error}") from error
