"""Reads from either database, as of one moment."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

from ledger.store.errors import LOST, store_errors
from ledger.store.log import Connection, SqlLog
from ledger.store.seam import Cursor, Log

T = TypeVar("T")


class Reader:
    """Reads from one database, in any thread; every failure is `StoreFailed`.

    Connections are kept for the next reads: making one takes longer than a short read.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        begin: str,
        connect_for_long: Callable[[], AbstractContextManager[Connection]] | None = None,
    ) -> None:
        """`begin` is the statement that begins a snapshot.

        Connections for long reads may be made in another way, and are not kept then.
        """
        self._connect = connect
        self._connect_for_long = connect_for_long
        self._begin = begin
        self._kept: list[Connection] = []
        self._closed = False

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read as of one moment, for a short time."""
        kept = self._kept
        with store_errors():
            connection = self._begun(_pop(kept) or self._connect())
            try:
                yield connection
            finally:
                with suppress(*LOST):
                    connection.execute("ROLLBACK")
                kept.append(connection)
                if self._closed or kept is not self._kept:
                    _close(kept)

    @contextmanager
    def long_snapshot(self) -> Iterator[Connection]:
        """Read as of one moment, for as long as it takes."""
        if self._connect_for_long is None:
            with self.snapshot() as connection:
                yield connection
            return
        with store_errors(), self._connect_for_long() as connection:
            connection.execute(self._begin)
            yield connection

    @contextmanager
    def log(self) -> Iterator[Log]:
        """Read the record as of one moment."""
        with self.long_snapshot() as connection:
            yield SqlLog(connection)

    def read(self, work: Callable[[Cursor], T]) -> T:
        """Return what `work` finds by a few short reads, all as of one moment."""
        with self.snapshot() as connection:
            return work(connection.cursor())

    def let_go(self) -> None:
        """Close all connections: idle ones now, and those in use after their read."""
        kept, self._kept = self._kept, []
        _close(kept)

    def close(self) -> None:
        self._closed = True
        self.let_go()

    def _begun(self, connection: Connection) -> Connection:
        """Begin a snapshot on this connection or, if it was lost meanwhile, on another."""
        try:
            connection.execute(self._begin)
        except LOST:
            connection.close()
            connection = self._connect()
            connection.execute(self._begin)
        return connection


def _pop(kept: list[Connection]) -> Connection | None:
    with suppress(IndexError):
        return kept.pop()
    return None


def _close(kept: list[Connection]) -> None:
    while (connection := _pop(kept)) is not None:
        connection.close()
