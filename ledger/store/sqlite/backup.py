"""A copy of the ledger's file as of one moment, made while a service writes to it.

SQLite reads all of it at once, and meanwhile the WAL grows. Before it is too long for the reserve,
the copy gives way: it ends, and begins anew once the service has checkpointed the WAL.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ledger.domain.errors.store import BackupHeldUp, StoreFailed
from ledger.images.files import opened
from ledger.store.sqlite.connections import open_connection
from ledger.store.sqlite.wal import giving_way

TRIES = 5
PAUSE_S = 2.0
"""How long the service has the WAL for itself before the next try."""
LOOK_STEPS = 10_000
"""Steps of SQLite's virtual machine between two looks at the WAL: a few milliseconds."""


def copy_ledger(file: Path, copy: Path) -> None:
    """Make `copy`, a new file, durable and with mode 0600; its name is not synced.

    It has everything that the file has: events and the highest position ever assigned, read models,
    plain tables, settings. No writer waits for it. Raises `BackupHeldUp` if it has to give way each
    time, `StoreFailed` and OSError, and may then leave part of a copy.
    """
    with opened(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
        for tries_left in reversed(range(TRIES)):
            if _vacuum_into(file, copy, giving_way(file)):
                os.fsync(fd)
                return
            os.ftruncate(fd, 0)
            if tries_left:
                time.sleep(PAUSE_S)
    raise BackupHeldUp(TRIES)


def _vacuum_into(file: Path, copy: Path, must_give_way: Callable[[], bool]) -> bool:
    """Copy the file; return False if the copy had to give way."""
    with closing(open_connection(file, writing=False)) as connection:
        try:
            # It writes to the copy only, but would be refused; the file stays read-only.
            connection.execute("PRAGMA query_only=OFF")
            connection.set_progress_handler(must_give_way, LOOK_STEPS)
            connection.execute("VACUUM INTO ?", (str(copy),))
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                return False
            raise StoreFailed(f"SQLite: {error}") from error
    return True
