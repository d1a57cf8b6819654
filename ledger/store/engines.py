"""The database engine that a ledger is in, and the settings that make its commits durable."""

from typing import Any, NamedTuple

from ledger.store.seam import Cursor

DURABLE_IN_POSTGRES = ("synchronous_commit", "fsync", "full_page_writes")

_AUTO_VACUUM = {0: "none", 1: "full", 2: "incremental"}


class Engine(NamedTuple):
    """A database engine with its version, and the version of the ledger's schema in it."""

    name: str
    settings: dict[str, str]
    schema_version: int


def sqlite_engine(cursor: Cursor) -> Engine:
    settings = {
        "journal_mode": str(_value(cursor, "PRAGMA journal_mode")),
        "auto_vacuum": _AUTO_VACUUM.get(_value(cursor, "PRAGMA auto_vacuum"), "unknown"),
    }
    name = f"SQLite {_value(cursor, 'SELECT sqlite_version()')}"
    return Engine(name, settings, int(_value(cursor, "PRAGMA user_version")))


def postgres_engine(cursor: Cursor) -> Engine:
    settings = {
        name: str(_value(cursor, "SELECT current_setting(?)", name)) for name in DURABLE_IN_POSTGRES
    }
    name = f"PostgreSQL {_value(cursor, 'SELECT current_setting(?)', 'server_version')}"
    return Engine(name, settings, int(_value(cursor, "SELECT version FROM schema_version")))


def _value(cursor: Cursor, sql: str, *parameters: str) -> Any:
    cursor.execute(sql, parameters)
    return cursor.fetchone()[0]
