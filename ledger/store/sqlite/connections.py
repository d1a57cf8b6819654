"""Connections to the ledger's file, to write or to read it, and what opening it takes."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from ledger.domain.errors.store import StoreFailed, StoreUnfit, StoreUnreachable
from ledger.images.files import is_read_only
from ledger.store.errors import store_errors
from ledger.store.readers import Reader
from ledger.store.sqlite.long_reads import LongRead, LongReads
from ledger.store.sqlite.wal import giving_way

C = TypeVar("C", bound=sqlite3.Connection)

OPENING_S = 5
BUSY_MS = 50
FILE_MODE = 0o600
PAGE_BYTES = 4_096
WAL_PAGES = 8_192
"""The WAL is checkpointed at 32 MiB: hot pages are copied back once for many commits."""
WRITER_CACHE_KIB = 64 * 1024
READER_CACHE_KIB = 8 * 1024
LONG_READER_CACHE_KIB = 1024
"""There are as many as long answers under way, and a larger cache makes none of them quicker."""


def open_connection(file: Path, *, writing: bool, wal_pages: int = WAL_PAGES) -> sqlite3.Connection:
    """Open the ledger's file in autocommit mode; a reading connection can change nothing.

    A writing one checkpoints the WAL at `wal_pages`. Raises `StoreUnreachable` if the file cannot
    be opened, and `StoreUnfit` if it is no database.
    """
    with _opening(file):
        if writing:
            return _open_writer(file, wal_pages)
        return _open_reader(file, sqlite3.Connection, READER_CACHE_KIB)


def long_reads(file: Path) -> LongReads:
    """Return the long reads of this file, which begin over connections of their own."""

    def connect() -> LongRead:
        with _opening(file):
            return _open_reader(file, LongRead, LONG_READER_CACHE_KIB)

    return LongReads(connect, partial(giving_way, file))


def sqlite_reader(file: Path, reads: LongReads | None = None) -> Reader:
    """Return a reader of this file, which does not create it."""
    reads = long_reads(file) if reads is None else reads
    return Reader(lambda: open_connection(file, writing=False), "BEGIN", reads.begin)


@contextmanager
def _opening(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        unfit = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB
        kind = StoreUnfit if unfit else StoreUnreachable
        raise kind(f"cannot open {file}: {error}") from error


def _open_writer(file: Path, wal_pages: int) -> sqlite3.Connection:
    _create_private(file)
    # In a file with contents this would have no effect, and yet be a write.
    once = () if file.stat().st_size else ("auto_vacuum=INCREMENTAL",)
    pragmas = (
        *once,
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        f"cache_size=-{WRITER_CACHE_KIB}",
        f"wal_autocheckpoint={wal_pages}",
        f"journal_size_limit={wal_pages * PAGE_BYTES}",
        f"busy_timeout={BUSY_MS}",
    )
    return _open(file, "mode=rwc", pragmas, sqlite3.Connection)


def _open_reader(file: Path, kind: type[C], cache_kib: int) -> C:
    """Open the file to read, also on a read-only file system.

    There SQLite reads the WAL if its index (`-shm`) is there too, which it cannot make. With
    `immutable` it needs none, but ignores the WAL: so that is only for files without one.
    """
    pragmas = ("query_only=ON", f"cache_size=-{cache_kib}")
    try:
        return _open(file, "mode=ro", pragmas, kind)
    except sqlite3.OperationalError:
        if not is_read_only(file):
            raise
        wal = file.with_name(f"{file.name}-wal")
        if wal.exists() and wal.stat().st_size:
            raise StoreUnreachable(
                f"cannot open {file}: the newest commits are in {wal.name}, which cannot be read on"
                f" a read-only file system without {file.name}-shm; copy the whole directory to"
                " where it can be written"
            ) from None
        return _open(file, "mode=ro&immutable=1", pragmas, kind)


def _open(file: Path, options: str, pragmas: Sequence[str], kind: type[C]) -> C:
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?{options}",
        uri=True,
        check_same_thread=False,
        isolation_level=None,
        timeout=OPENING_S,
        cached_statements=512,
        factory=kind,
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _create_private(file: Path) -> None:
    """Create a ledger that nobody else may read; SQLite's other files get the same mode.

    A file that exists is not touched: closing it would end this process's locks on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def fold_wal(file: Path) -> None:
    """Move the WAL into the file, durably; no other process may write to it.

    Raises `StoreFailed`, also if another process is reading the WAL.
    """
    with store_errors():
        connection = open_connection(file, writing=True)
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.close()
    if busy:
        raise StoreFailed(f"another process reads {file}")
