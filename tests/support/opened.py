"""A whole ledger over a real SQLite file, as the composition root builds it."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Self

from ledger.application import Ledger
from ledger.domain.aggregates import Aggregate
from ledger.domain.commands import Command
from ledger.domain.errors.store import StoreFailed
from ledger.images.surveys import Surveyor
from ledger.store.seam import Cursor, Store
from ledger.store.sqlite.connections import sqlite_reader
from ledger.store.sqlite.store import SqliteStore
from ledger.store.writer import Caller
from projections.audit.findings import Replay
from projections.audit.replay import replay
from projections.maintenance.rebuild import Rebuilt, rebuild
from projections.tables import TABLES, select_all
from projections.views.generations import InlineProjection, live_generation
from projections.views.snapshot import Snapshot
from projections.views.views import Views
from tests.support.empty import empty_ledger
from tests.support.wait import PATIENCE_S
from tests.support.world import ME, Foreseen, Ticking

CALLER = Caller(ME, "request-1")


class Opened:
    """A ledger, its store and its views; commands are executed at once."""

    def __init__(
        self,
        file: Path,
        *,
        environment: Surveyor | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.file = file
        self.failures: list[StoreFailed] = []
        self.now = now or Ticking()
        self.environment = environment or Foreseen()
        projection = self.projection()
        self.store = self.open_store(projection)
        self.ledger = Ledger(
            self.store,
            projection,
            self.environment,
            now=self.now,
            on_failure=self.failures.append,
        )
        self.views = self.open_views()

    def projection(self) -> InlineProjection:
        return InlineProjection()

    def open_store(self, projection: InlineProjection) -> Store:
        if not self.file.exists():
            self.file.write_bytes(empty_ledger())
        return SqliteStore(self.file, projection, clock=self.now)

    def open_views(self) -> Views:
        return Views(sqlite_reader(self.file), lambda: self.ledger.commits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.views.close()
        self.ledger.close()

    def do(self, *commands: Command, by: Caller = CALLER) -> int:
        """Execute the commands one after the other; return the position after the last."""
        position = 0
        for command in commands:
            position = self._execute(command, by)
        return position

    def _execute(self, command: Command, by: Caller) -> int:
        """Close in a thread of its own: a writer that has died must not hang the tests."""
        future: Future[int] = Future()

        def execute() -> None:
            try:
                future.set_result(self.ledger.execute_blocking(command, by))
            except BaseException as error:  # noqa: BLE001 - it belongs to the test
                future.set_exception(error)

        thread = Thread(target=execute, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        return future.result(0)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return self.views.snapshot()

    def current(self, stream: str) -> Aggregate | None:
        return self.ledger.current(stream)

    def rebuild(self) -> Rebuilt:
        return rebuild(self.ledger, _silent)

    def replay(self, archives: Path | None = None) -> Replay:
        return replay(self.ledger.log, _silent, archives)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        with self.ledger.log() as log:
            return rows_of(log.cursor())


def stamped_by(opened: Opened, clock: Callable[[], datetime]) -> None:
    """Stamp by this clock from now on, whatever it shows, as earlier versions did."""
    vars(opened.ledger.clock)["stamp"] = clock


def _silent(done: int, total: int) -> None:
    pass


@contextmanager
def behind_its_back(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a writing connection that ignores the ledger's rules; commit at the end."""
    with closing(sqlite3.connect(file)) as connection, connection:
        yield connection


def shown_rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of the live generation, by table, in key order."""
    with closing(sqlite3.connect(file)) as connection:
        return rows_of(connection.cursor())


def rows_of(cursor: Cursor) -> dict[str, list[tuple[object, ...]]]:
    """Return the same, read by this cursor."""
    live = live_generation(cursor)
    rows = {}
    for table in TABLES:
        cursor.execute(select_all(table, live))
        rows[table.name] = cursor.fetchall()
    return rows
