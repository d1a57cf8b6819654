"""A whole ledger over a real SQLite file, as the composition root builds it."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Self

from ledger.aggregate import Aggregate
from ledger.application import Ledger
from ledger.commands import Command
from ledger.errors import StoreFailed
from ledger.store.sqlite import SqliteStore
from ledger.store.writer import Caller
from ledger.world import Circumstances
from projections.audit.findings import Replay
from projections.audit.replaying import replay
from projections.rebuild import Rebuilt, rebuild
from projections.views.reading import SqliteViews
from projections.views.snapshot import Snapshot
from projections.views.sqlite import SqliteProjection, live_generation
from projections.views.tables import TABLES, select_all
from tests.support.world import ME, Foreseen, Ticking

CALLER = Caller(ME, "request-1")

PATIENCE_S = 20
"""How long a test waits for what should take a moment."""


class Opened:
    """A ledger, its store and its views; what it is told to do is done at once."""

    def __init__(
        self,
        file: Path,
        *,
        circumstances: Circumstances | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.file = file
        self.failures: list[StoreFailed] = []
        projection = SqliteProjection()
        self.store = SqliteStore(file, projection)
        self.ledger = Ledger(
            self.store,
            projection,
            circumstances or Foreseen(),
            now=now or Ticking(),
            on_failure=self.failures.append,
        )
        self.views = SqliteViews(file, lambda: self.ledger.commits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.views.close()
        self.ledger.close()

    def do(self, *commands: Command, by: Caller = CALLER) -> int:
        """Executes the commands one after the other; the position after the last."""
        position = 0
        for command in commands:
            position = self._execute(command, by)
        return position

    def _execute(self, command: Command, by: Caller) -> int:
        """In a thread of its own: a writer that has died must not hang the tests."""
        future: Future[int] = Future()

        def execute() -> None:
            try:
                future.set_result(self.ledger.execute_blocking(command, by))
            except BaseException as error:  # noqa: BLE001 - it belongs to the test
                future.set_exception(error)

        Thread(target=execute, daemon=True).start()
        return future.result(PATIENCE_S)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return self.views.snapshot()

    def current(self, stream: str) -> Aggregate | None:
        return self.ledger.current(stream)

    def rebuild(self) -> Rebuilt:
        return rebuild(self.ledger, _silent)

    def replay(self, archives: Path | None = None) -> Replay:
        return replay(self.file, _silent, archives)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        return shown_rows(self.file)


def _silent(done: int, total: int) -> None:
    pass


@contextmanager
def behind_its_back(file: Path) -> Iterator[sqlite3.Connection]:
    """A writing connection that knows nothing of the ledger's rules; commits at the end."""
    with closing(sqlite3.connect(file)) as connection, connection:
        yield connection


def shown_rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the live generation, by table, in the order of their keys."""
    with closing(sqlite3.connect(file)) as connection:
        cursor = connection.cursor()
        live = live_generation(cursor)
        return {table.name: cursor.execute(select_all(table, live)).fetchall() for table in TABLES}
