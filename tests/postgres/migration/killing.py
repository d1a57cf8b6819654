"""A move is killed at one step after the other, in processes of their own.

    python -m tests.postgres.migration.killing DATA SERVER STRIDE

First a step is every STRIDE-th batch of rows or tile, and each call that changes something on disk;
all moves are of one ledger into one database. Then only such calls are steps, and each move has a
ledger and a database of its own. Prints the number of steps of both runs, and fails if a kill left
something incomplete.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from api.data.directory import DataUnusable
from api.data.location import (
    LEDGER_FILE,
    MOVED_FILE,
    MOVING_FILE,
    STORE_FILE,
    PostgresDatabase,
    SqliteDatabase,
    database_of,
)
from ledger.domain.errors.store import StoreFailed
from ledger.store import migrate as tables
from ledger.store.postgres.connections import postgres_log
from ledger.store.postgres.store import PostgresStore
from projections.maintenance.migrate import Report
from projections.views.postgres_writer import PostgresProjection
from tests.backup.backups import events
from tests.backup.killing import at_step, done, never
from tests.postgres.migration.moves import Showing, moved, rows_in_postgres, rows_in_sqlite, unseen
from tests.support.postgres import PostgresServer


@contextmanager
def stepping(doing: str, what: str) -> Iterator[Report]:
    """Each report is a step, as if it were a call that is counted as one."""
    yield lambda _done, _total: sys.audit("os.utime")


class Killing:
    def __init__(self, made: Path, server: PostgresServer) -> None:
        self._made = made
        self._server = server
        self._events = events(made / LEDGER_FILE)
        self._rows = rows_in_sqlite(made / LEDGER_FILE)
        self._numbers = 0

    def fresh(self) -> tuple[Path, str]:
        """A directory with the ledger in SQLite, and a database."""
        self._numbers += 1
        data = self._made.with_name(f"killed-{self._numbers}")
        shutil.copytree(self._made, data)
        return data, self._server.new_database()

    def killed(self, data: Path, url: str, showing: Showing, step: int) -> bool:
        """Whether the step was reached; then what it left is looked at."""
        if done(lambda: moved(data, url, showing), at_step(step)):
            return False
        self._look(data, url)
        return True

    def _look(self, data: Path, url: str) -> None:
        if (data / STORE_FILE).exists():
            self._look_at_the_end(data, url)
            return
        assert isinstance(database_of(data, None), SqliteDatabase)
        assert events(data / LEDGER_FILE) == self._events
        assert not (data / MOVED_FILE).exists()
        with psycopg.connect(url) as connection:
            begun = connection.execute("SELECT to_regclass('stored_events')").fetchone() != (None,)
        if begun:
            assert not _is_ledger(url)

    def _look_at_the_end(self, data: Path, url: str) -> None:
        """Nothing is missing there; and nobody opens it unless all is done."""
        if (data / MOVING_FILE).exists():
            try:
                database_of(data, None)
            except DataUnusable:
                pass
            else:
                raise AssertionError("it can be opened before the move has ended")
        with postgres_log(url) as log:
            assert list(log.events()) == self._events

    def finish(self, data: Path, url: str) -> None:
        """The next attempt completes the move."""
        if (data / MOVING_FILE).exists() or not (data / STORE_FILE).exists():
            assert done(lambda: moved(data, url), never)
        database = database_of(data, None)
        assert isinstance(database, PostgresDatabase)
        assert database.url == url
        assert not (data / LEDGER_FILE).exists()
        assert not (data / MOVING_FILE).exists()
        assert rows_in_sqlite(data / MOVED_FILE) == self._rows
        assert rows_in_postgres(url) == self._rows
        assert _is_ledger(url)


def _is_ledger(url: str) -> bool:
    try:
        PostgresStore(url, PostgresProjection()).close()
    except StoreFailed:
        return False
    return True


def main(made: Path, server: PostgresServer, stride: int) -> tuple[int, int]:
    killing = Killing(made, server)
    data, url = killing.fresh()
    steps = 1
    while killing.killed(data, url, stepping, steps):
        steps += stride
    killing.finish(data, url)
    calls = 0
    while True:
        data, url = killing.fresh()
        if not killing.killed(data, url, unseen, calls + 1):
            return steps, calls
        killing.finish(data, url)
        calls += max(1, stride // 20)


if __name__ == "__main__":
    tables.BATCH_ROWS = 5
    made, directory, stride = sys.argv[1:]
    sys.stdout.write(
        "{} {}\n".format(*main(Path(made), PostgresServer(Path(directory)), int(stride)))
    )
