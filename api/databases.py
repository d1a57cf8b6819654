"""Which database the ledger of a data directory is in: SQLite there, or PostgreSQL anywhere.

A directory whose ledger is in PostgreSQL says where, in a file of its own. So every command finds
the ledger by its data directory, and nobody begins a second one beside it by forgetting a flag.
"""

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from api.lock import DataUnusable
from ledger.images.files import sync_directory
from ledger.store import postgres, sqlite
from ledger.store.postgres import PostgresStore
from ledger.store.seam import Log, Store
from ledger.store.sqlite import SqliteStore
from projections.views.postgres import PostgresProjection
from projections.views.reading import PostgresViews, SqliteViews, Views
from projections.views.sqlite import SqliteProjection

LEDGER_FILE = "ledger.sqlite"
STORE_FILE = "store"


class Opened(NamedTuple):
    """A store, and the projection that it writes with its events."""

    store: Store
    projection: SqliteProjection


class Database(Protocol):
    """Where a ledger is."""

    @property
    def address(self) -> Path | str:
        """The file, or the url, by which an auditor finds it."""

    def exists(self) -> bool:
        """Whether there is a ledger, or may be."""

    def open(self) -> Opened:
        """To write. Raises `StoreFailed`."""

    def views(self, commits: Callable[[], int]) -> Views:
        """To read from what is shown."""

    def log(self) -> AbstractContextManager[Log]:
        """To read the record. Raises `StoreFailed`."""


class SqliteDatabase:
    """A file in the data directory; the directory's lock says who has it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def address(self) -> Path | str:
        return self.file

    def exists(self) -> bool:
        return self.file.is_file()

    def open(self) -> Opened:
        projection = SqliteProjection()
        return Opened(SqliteStore(self.file, projection), projection)

    def views(self, commits: Callable[[], int]) -> Views:
        return SqliteViews(self.file, commits)

    def log(self) -> AbstractContextManager[Log]:
        return sqlite.open_log(self.file)


class PostgresDatabase:
    """A database of its own, of which others may have data directories too: one at a time."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def address(self) -> Path | str:
        return self.url

    def exists(self) -> bool:
        return True

    def open(self) -> Opened:
        projection = PostgresProjection()
        return Opened(PostgresStore(self.url, projection, alone=True), projection)

    def views(self, commits: Callable[[], int]) -> Views:
        return PostgresViews(self.url)

    def log(self) -> AbstractContextManager[Log]:
        return postgres.open_log(self.url)


def database_of(data: Path, store: str | None = None) -> Database:
    """Where the ledger of this data directory is; `store` must be what the directory says, if any.

    Raises `DataUnusable`.
    """
    file = data / STORE_FILE
    said = file.read_text(encoding="utf-8").strip() if file.is_file() else None
    if said is None and store is None:
        return SqliteDatabase(data / LEDGER_FILE)
    if said is None and (data / LEDGER_FILE).exists():
        raise DataUnusable(f"{data} has a ledger in SQLite; it is not in PostgreSQL")
    if None not in (said, store) and said != store:
        raise DataUnusable(f"the ledger of {data} is in another database: see {file}")
    return PostgresDatabase(said or store or "")


def remember(data: Path, database: Database) -> None:
    """Makes the data directory say where its ledger is, once it is there."""
    file = data / STORE_FILE
    if not isinstance(database, PostgresDatabase) or file.exists():
        return
    part = file.with_suffix(".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        opened.write(f"{database.url}\n")
        opened.flush()
        os.fsync(opened.fileno())
    part.rename(file)
    sync_directory(data)


def without_password(address: Path | str) -> str:
    """The address as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1@", str(address))
