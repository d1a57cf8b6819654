"""Files without syncs: tests kill processes, but never cut the power."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.store.sqlite import store as sqlite


@contextmanager
def not_synced() -> Iterator[None]:
    """Let nothing in this process wait for a disk, which others may keep busy."""
    really = sqlite.open_connection

    def opened(
        file: Path, *, writing: bool, wal_pages: int = sqlite.WAL_PAGES
    ) -> sqlite3.Connection:
        connection = really(file, writing=writing, wal_pages=wal_pages)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "open_connection", opened)
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "fdatasync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def unsynced() -> Iterator[None]:
    """Skip syncs in all tests below the `conftest.py` that imports this."""
    with not_synced():
        yield
