"""A ledger is moved out of SQLite into an empty PostgreSQL database, and held against what it was.

Read models are copied as they are, like everything else: so what is shown is what was shown, and
an audit finds there what it would have found here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ledger.archives import Shelf
from ledger.merkle.signed_note import Signer
from ledger.proofs.checkpoints import checkpoint_of
from ledger.proofs.findings import described
from ledger.proofs.verification import CannotVerify, verify
from ledger.store.migrate import (
    Copy,
    Head,
    KeptTable,
    NotMoved,
    count_rows,
    head_here,
    kept_tables,
    open_copy,
    require_equal,
    require_schema,
)
from ledger.store.seam import Log
from ledger.store.sqlite.store import sqlite_reader
from projections.tables import TABLES
from projections.views.generations import is_outdated, live_generation
from projections.views.postgres_writer import PostgresProjection

_NONE = Shelf(Path("/nonexistent"))
"""No archives."""
Report = Callable[[int, int], None]
"""Told how many of how many rows or leaves are done."""


class Moved(NamedTuple):
    """What is in the database by now: so many events of all that there were, and their root."""

    events: int
    leaves: int
    position: int
    root: bytes


@contextmanager
def moving(file: Path, url: str, move: str) -> Iterator["Moving"]:
    """The move of this name, begun or gone on with, for as long as nobody else has either database.

    Raises `NotMoved` and `StoreFailed`; then it can be gone on with later.
    """
    with sqlite_reader(file).log() as log, open_copy(url) as copy:
        head = _movable_head(log)
        copy.prepare(move, PostgresProjection().create)
        yield Moving(log, copy, head)


def _movable_head(log: Log) -> Head:
    cursor = log.cursor()
    require_schema(cursor)
    if is_outdated(cursor):
        raise NotMoved("the read models have an earlier shape: start the service once")
    return head_here(cursor)


class Moving:
    """First `copy`, then `compare` and `verify`; what fails is `NotMoved`."""

    def __init__(self, here: Log, copy: Copy, head: Head) -> None:
        self._here = here
        self._copy = copy
        self._head = head
        cursor = here.cursor()
        with copy.log() as there:
            self._tables = _tables(live_generation(cursor), live_generation(there.cursor()))
        self._rows = sum(count_rows(cursor, table) for table in self._tables)

    def copy(self, report: Report) -> None:
        """All rows, but for those that are there already."""
        done = 0
        for table in self._tables:
            for rows in self._copy.bring(self._here.cursor(), table):
                done += rows
                report(done, self._rows)
        self._copy.set_head(self._head)

    def compare(self, report: Report) -> None:
        """Each row of each table is the same, and the next event goes where it would have gone."""
        done = 0
        with self._copy.log() as there:
            for table in self._tables:
                for rows in require_equal(self._here.cursor(), there.cursor(), table):
                    done += rows
                    report(done, self._rows)
        if self._copy.head() != self._head:
            raise NotMoved("the copy does not end where the ledger ends")

    def verify(self, signer: Signer, report: Report) -> Moved:
        """Every event that was copied is hashed anew, and the tree is the one that it was.

        Archives stay where they are, and are not looked at.
        """
        checkpoint = checkpoint_of(self._here, signer.name)
        with self._copy.log() as there:
            try:
                found = verify(there, _NONE, checkpoint, signer.verifier, names=(), report=report)
            except CannotVerify as error:
                raise NotMoved(str(error)) from error
            events = there.count()
        if not found.intact:
            raise NotMoved(f"the ledger is not intact: {described(found.findings[0])}")
        if (events, found.size, found.epoch) != (
            self._here.count(),
            checkpoint.size,
            checkpoint.epoch,
        ):
            raise NotMoved("the copy has other events than the ledger")
        return Moved(events, found.size, checkpoint.position, checkpoint.root)

    def finish(self) -> None:
        """What is in the database is a ledger from now on."""
        self._copy.finish()


def _tables(here: int, there: int) -> list[KeptTable]:
    """All tables of a store, and those of the read models as their generations are called."""
    shown = [
        KeptTable(f"{table.name}_g{here}", f"{table.name}_g{there}", table.columns, table.key)
        for table in TABLES
    ]
    return kept_tables() + shown
