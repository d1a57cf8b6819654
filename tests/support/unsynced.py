"""Files that are not synced: most tests end processes, and none the power."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.store.sqlite import store as sqlite


@contextmanager
def not_synced() -> Iterator[None]:
    """Nobody in this process waits for a disk, which others may keep busy."""
    really = sqlite.open_connection

    def opened(file: Path, *, writing: bool) -> sqlite3.Connection:
        connection = really(file, writing=writing)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "open_connection", opened)
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "fdatasync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def unsynced() -> Iterator[None]:
    """So it is in all tests below the `conftest.py` that imports this."""
    with not_synced():
        yield
