"""A copy of the ledger's file as of one moment, made while a service writes to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ledger.domain.errors import StoreFailed
from ledger.images.files import opened
from ledger.store.sqlite.connections import open_connection


def copy_ledger(file: Path, copy: Path) -> None:
    """Make `copy`, a new file, durable and with mode 0600; its name is not synced.

    It has everything that the file has: events and the highest position ever assigned, read models,
    plain tables, settings. No writer waits for it, but the file's WAL grows meanwhile. Raises
    `StoreFailed` and OSError, and may then leave part of a copy.
    """
    with opened(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
        _vacuum_into(file, copy)
        os.fsync(fd)


def _vacuum_into(file: Path, copy: Path) -> None:
    with closing(open_connection(file, writing=False)) as connection:
        try:
            # It writes to the copy only, but would be refused; the file stays read-only.
            connection.execute("PRAGMA query_only=OFF")
            connection.execute("VACUUM INTO ?", (str(copy),))
        except sqlite3.Error as error:
            raise StoreFailed(f"SQLite: {error}") from error
