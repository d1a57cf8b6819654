"""Which database the ledger of a data directory is in: SQLite there, or PostgreSQL anywhere.

A directory whose ledger is in PostgreSQL holds a file that says where. So every command finds the
ledger by its data directory, and a forgotten flag begins no second ledger beside it.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from api.data.directory import DataUnusable
from ledger.images.files import sync_directory
from ledger.store.postgres.connections import postgres_log, postgres_reader
from ledger.store.postgres.store import PostgresStore
from ledger.store.seam import Log, Store
from ledger.store.sqlite.connections import long_reads, sqlite_reader
from ledger.store.sqlite.store import SqliteStore
from projections.views.generations import InlineProjection
from projections.views.postgres_writer import PostgresProjection
from projections.views.views import Views

LEDGER_FILE = "ledger.sqlite"
STORE_FILE = "store"
MOVING_FILE = "moving"
"""Names a move to PostgreSQL under way; the move removes it in the end."""
MOVED_FILE = "ledger.sqlite.moved"
"""The ledger's file once the ledger is in PostgreSQL; nothing opens it."""


class Opened(NamedTuple):
    """A store, and the projection that it writes along with events."""

    store: Store
    projection: InlineProjection


class Database(Protocol):
    """The place of a ledger."""

    @property
    def address(self) -> Path | str:
        """Return the file or the URL of the ledger, as an auditor names it."""

    def exists(self) -> bool:
        """Return whether there is a ledger, or may be."""

    def open(self, *, reserve: int = 0) -> Opened:
        """Open the ledger to write; a reserve of at most `reserve` bytes is kept on its disk.

        Raise `StoreFailed`.
        """

    def views(self, commits: Callable[[], int]) -> Views:
        """Open the read models."""

    def log(self) -> AbstractContextManager[Log]:
        """Open the log of events to read. Raise `StoreFailed`."""


class SqliteDatabase:
    """A file in the data directory, which the directory's lock protects."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._reads = long_reads(file)

    @property
    def address(self) -> Path | str:
        return self.file

    def exists(self) -> bool:
        return self.file.is_file()

    def open(self, *, reserve: int = 0) -> Opened:
        projection = InlineProjection()
        store = SqliteStore(self.file, projection, reserve=reserve, reads=self._reads)
        return Opened(store, projection)

    def views(self, commits: Callable[[], int]) -> Views:
        return Views(sqlite_reader(self.file, self._reads), commits)

    def log(self) -> AbstractContextManager[Log]:
        return sqlite_reader(self.file, self._reads).log()


class PostgresDatabase:
    """A database that several data directories may share."""

    def __init__(self, url: str, *, put_back: bool = False) -> None:
        """With `put_back`, a database that was restored from a dump is accepted."""
        self.url = url
        self._put_back = put_back

    @property
    def address(self) -> Path | str:
        return self.url

    def exists(self) -> bool:
        return True

    def open(self, *, reserve: int = 0) -> Opened:
        """Open the ledger without a reserve: its disk is the server's."""
        projection = PostgresProjection()
        store = PostgresStore(self.url, projection, put_back=self._put_back)
        return Opened(store, projection)

    def views(self, commits: Callable[[], int]) -> Views:
        """Open the read models without a cache: other processes write, too."""
        return Views(postgres_reader(self.url), None)

    def log(self) -> AbstractContextManager[Log]:
        return postgres_log(self.url)


def store_of(data: Path) -> str | None:
    """Return the URL that the data directory remembers, if any."""
    file = data / STORE_FILE
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else None


def database_of(data: Path, store: str | None) -> Database:
    """Return where the ledger of this data directory is; `store` is what the settings say.

    Raise `DataUnusable`, also if the directory remembers another URL than `store`.
    """
    remembered = store_of(data)
    url = remembered or store
    in_sqlite = (data / LEDGER_FILE).exists()
    if remembered is not None and (data / MOVING_FILE).exists():
        raise DataUnusable(f"a move of the ledger of {data} has not ended: run it again")
    if url is not None and in_sqlite:
        raise DataUnusable(
            f"{data} has a ledger in SQLite; it is not in PostgreSQL (`job-ledger move` brings it)"
        )
    if None not in (remembered, store) and remembered != store:
        raise DataUnusable(f"the ledger of {data} is in another database: see {data / STORE_FILE}")
    if url is not None:
        return PostgresDatabase(url)
    if not in_sqlite and (data / MOVED_FILE).exists():
        raise DataUnusable(f"the ledger of {data} was moved, and no file `store` says where")
    return SqliteDatabase(data / LEDGER_FILE)


def remember(data: Path, database: Database) -> None:
    """Make the data directory remember a PostgreSQL database, once the ledger is there."""
    file = data / STORE_FILE
    if isinstance(database, PostgresDatabase) and not file.exists():
        write_line(file, database.url)


def write_line(file: Path, line: str) -> None:
    """Write a file of one line with mode 0600: whole and durable, or not at all."""
    part = file.with_suffix(f".{os.getpid()}.part")  # processes of one service may write at once
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        opened.write(f"{line}\n")
        opened.flush()
        os.fsync(opened.fileno())
    part.rename(file)
    sync_directory(file.parent)
