"""Long reads of a ledger's file: each holds up the WAL, so they are cut before it is too long.

SQLite checkpoints the WAL only up to the oldest reader, and starts it over only once no reader
needs it. While a read takes long, or is parked because its client is slow, the WAL grows with
everything that is written.

The writing process cuts its oldest reads (`sqlite/wal`). It cannot reach those of other processes,
such as an audit: they watch the WAL themselves, and give way earlier.
"""

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from ledger.domain.errors.store import ReadCut

INTERRUPT_S = 0.005
LOOK_S = 0.1
"""How often a read checks whether it must give way."""


class LongReads:
    """The long reads of a file that are under way in this process, the oldest first."""

    def __init__(
        self, connect: Callable[[], "LongRead"], giving_way: Callable[[], Callable[[], bool]]
    ) -> None:
        """`connect` opens the file.

        `giving_way` returns a function for a read that begins now: it tells whether that must end
        for another process.
        """
        self._connect = connect
        self._giving_way = giving_way
        self._lock = threading.Lock()
        self._under_way: dict[LongRead, None] = {}
        self.are_cut = False
        """Whether this process is the one that writes, which cuts them itself."""

    @contextmanager
    def begin(self) -> Iterator["LongRead"]:
        """Open a connection that may be cut."""
        with closing(self._connect()) as read:
            if not self.are_cut:
                read.gives_way = self._giving_way()
            with self._lock:
                self._under_way[read] = None
            try:
                yield read
            finally:
                with self._lock:
                    self._under_way.pop(read, None)

    def cut_oldest(self) -> bool:
        """Cut the oldest read; return False if there is none. In any thread."""
        with self._lock:
            oldest = next(iter(self._under_way), None)
            if oldest is None:
                return False
            del self._under_way[oldest]
        oldest.cut()
        return True


class LongRead(sqlite3.Connection):
    """A reading connection that can be cut: the current use, or else the next, raises `ReadCut`.

    Cutting closes it and its snapshot at once, even while it is not in use.
    """

    gives_way: Callable[[], bool] | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.use = _Use(self)
        self._cursors: weakref.WeakSet[_Cursor] = weakref.WeakSet()

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor of the only kind that another thread can close."""
        with self.use:
            cursor = super().cursor(_Cursor)
            self._cursors.add(cursor)
            return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)

    def cut(self) -> None:
        """End the read. In any thread."""
        while not self.use.lock.acquire(timeout=INTERRUPT_S):
            with suppress(sqlite3.ProgrammingError):  # it has ended
                self.interrupt()
        try:
            self.end()
        finally:
            self.use.lock.release()

    def end(self) -> None:
        """End the read, unless it has ended. The caller holds the lock of its use."""
        if self.use.is_over:
            return
        self.use.is_over = True
        for cursor in self._cursors:  # or their statements would keep the snapshot
            sqlite3.Cursor.close(cursor)
        super().close()

    def close(self) -> None:
        with suppress(ReadCut), self.use:
            self.end()


class _Use:
    """The use of a long read: by one thread at a time, and by none once it was cut."""

    def __init__(self, read: LongRead) -> None:
        self._read = weakref.proxy(read)
        self._look_at = 0.0
        self.lock = threading.Lock()
        self.is_over = False

    def __enter__(self) -> None:
        self.lock.acquire()
        try:
            self._check()
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.lock.release()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise ReadCut from error

    def _check(self) -> None:
        if not self.is_over and self._must_give_way():
            self._read.end()
        if self.is_over:
            raise ReadCut

    def _must_give_way(self) -> bool:
        if self._read.gives_way is None or time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_S
        return bool(self._read.gives_way())


class _Cursor(sqlite3.Cursor):
    def __init__(self, read: sqlite3.Connection) -> None:
        super().__init__(read)
        assert isinstance(read, LongRead)
        self._use = read.use

    def execute(self, sql: str, parameters: Any = (), /) -> "_Cursor":
        with self._use:
            super().execute(sql, parameters)
            return self

    def fetchone(self) -> Any:
        with self._use:
            return super().fetchone()

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        with self._use:
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        with self._use:
            return super().fetchall()

    def __next__(self) -> Any:
        with self._use:
            return super().__next__()
