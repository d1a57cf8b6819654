"""Which database the ledger of a data directory is in: SQLite there, or PostgreSQL anywhere.

A directory whose ledger is in PostgreSQL says where, in a file of its own. So every command finds
the ledger by its data directory, and nobody begins a second one beside it by forgetting a flag.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from api.data.directory import DataUnusable
from ledger.images.files import sync_directory
from ledger.store.postgres.connections import postgres_reader
from ledger.store.postgres.store import PostgresStore
from ledger.store.seam import Log, Store
from ledger.store.sqlite.store import SqliteStore, sqlite_reader
from projections.views.generations import InlineProjection
from projections.views.postgres_writer import PostgresProjection
from projections.views.views import Views

LEDGER_FILE = "ledger.sqlite"
STORE_FILE = "store"
MOVING_FILE = "moving"
"""Names a move to PostgreSQL that has begun; goes when that is done."""
MOVED_FILE = "ledger.sqlite.moved"
"""What the ledger's file is called once the ledger is in PostgreSQL; nobody opens it."""


class Opened(NamedTuple):
    """A store, and the projection that it writes with its events."""

    store: Store
    projection: InlineProjection


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
        projection = InlineProjection()
        return Opened(SqliteStore(self.file, projection), projection)

    def views(self, commits: Callable[[], int]) -> Views:
        return Views(sqlite_reader(self.file), commits)

    def log(self) -> AbstractContextManager[Log]:
        return sqlite_reader(self.file).log()


class PostgresDatabase:
    """A database, of which others may have data directories too."""

    def __init__(self, url: str, *, put_back: bool = False) -> None:
        """`put_back`: the database is a copy, and is to be gone on with all the same."""
        self.url = url
        self._put_back = put_back

    @property
    def address(self) -> Path | str:
        return self.url

    def exists(self) -> bool:
        return True

    def open(self) -> Opened:
        projection = PostgresProjection()
        store = PostgresStore(self.url, projection, put_back=self._put_back)
        return Opened(store, projection)

    def views(self, commits: Callable[[], int]) -> Views:
        """Others may write there, too: nothing is remembered."""
        return Views(postgres_reader(self.url), None)

    def log(self) -> AbstractContextManager[Log]:
        return postgres_reader(self.url).log()


def store_of(data: Path) -> str | None:
    """Where the data directory says that its ledger is, if it says so."""
    file = data / STORE_FILE
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else None


def database_of(data: Path, store: str | None = None) -> Database:
    """Where the ledger of this data directory is; `store` must be what the directory says, if any.

    Raises `DataUnusable`.
    """
    said = store_of(data)
    url = said or store
    in_sqlite = (data / LEDGER_FILE).exists()
    if said is not None and (data / MOVING_FILE).exists():
        raise DataUnusable(f"a move of the ledger of {data} has not ended: run it again")
    if url is not None and in_sqlite:
        raise DataUnusable(
            f"{data} has a ledger in SQLite; it is not in PostgreSQL (`job-ledger move` brings it)"
        )
    if None not in (said, store) and said != store:
        raise DataUnusable(f"the ledger of {data} is in another database: see {data / STORE_FILE}")
    if url is not None:
        return PostgresDatabase(url)
    if not in_sqlite and (data / MOVED_FILE).exists():
        raise DataUnusable(f"the ledger of {data} was moved, and no file `store` says where")
    return SqliteDatabase(data / LEDGER_FILE)


def remember(data: Path, database: Database) -> None:
    """Makes the data directory say where its ledger is, once it is there."""
    file = data / STORE_FILE
    if isinstance(database, PostgresDatabase) and not file.exists():
        write_line(file, database.url)


def write_line(file: Path, line: str) -> None:
    """Makes a file with mode 0600 and one line, whole and durable, or not at all."""
    part = file.with_suffix(f".{os.getpid()}.part")  # processes of one service may write at once
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        opened.write(f"{line}\n")
        opened.flush()
        os.fsync(opened.fileno())
    part.rename(file)
    sync_directory(file.parent)
