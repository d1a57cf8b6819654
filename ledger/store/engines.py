"""The database engine that a ledger is in, and the settings that make its commits durable."""

from pathlib import Path
from typing import Any, NamedTuple

from ledger.images.files import is_read_only
from ledger.store.seam import Cursor

DURABLE_IN_POSTGRES = ("synchronous_commit", "fsync", "full_page_writes")

_WRITE_VERSION_AT = 18
_WAL_VERSION = b"\x02"
"""The byte of SQLite's file format that says that the file is written with a WAL."""
_AUTO_VACUUM = {0: "none", 1: "full", 2: "incremental"}


class Engine(NamedTuple):
    """A database engine with its version, and the version of the ledger's schema in it."""

    name: str
    settings: dict[str, str]
    schema_version: int


def sqlite_engine(cursor: Cursor) -> Engine:
    settings = {
        "journal_mode": _journal_mode(cursor),
        "auto_vacuum": _AUTO_VACUUM.get(_value(cursor, "PRAGMA auto_vacuum"), "unknown"),
    }
    name = f"SQLite {_value(cursor, 'SELECT sqlite_version()')}"
    return Engine(name, settings, int(_value(cursor, "PRAGMA user_version")))


def _journal_mode(cursor: Cursor) -> str:
    """Return the mode in which the file is written; on read-only media SQLite itself uses no WAL.

    Only there is the file itself looked at: closing it ends this process's locks on it. Without
    those of a service, whoever closes the ledger last elsewhere removes the WAL that it writes to.
    """
    mode = str(_value(cursor, "PRAGMA journal_mode"))
    cursor.execute("PRAGMA database_list")
    path = Path(cursor.fetchone()[2])
    if mode == "wal" or not is_read_only(path):
        return mode
    with path.open("rb") as file:
        header = file.read(_WRITE_VERSION_AT + 1)
    return "wal" if header[_WRITE_VERSION_AT:] == _WAL_VERSION else mode


def postgres_engine(cursor: Cursor) -> Engine:
    settings = {
        name: str(_value(cursor, "SELECT current_setting(?)", name)) for name in DURABLE_IN_POSTGRES
    }
    name = f"PostgreSQL {_value(cursor, 'SELECT current_setting(?)', 'server_version')}"
    return Engine(name, settings, int(_value(cursor, "SELECT version FROM schema_version")))


def _value(cursor: Cursor, sql: str, *parameters: str) -> Any:
    cursor.execute(sql, parameters)
    return cursor.fetchone()[0]
