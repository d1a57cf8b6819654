"""Migrating a ledger from SQLite into an empty PostgreSQL database, and comparing the two.

Read models are copied like everything else, so the copy shows what the ledger showed, and an audit
of the copy finds what an audit of the ledger would have found.
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
    CopiedTable,
    Copy,
    Head,
    NotMoved,
    copied_tables,
    count_rows,
    head_here,
    open_copy,
    require_equal,
    require_schema,
)
from ledger.store.seam import Log
from ledger.store.sqlite.connections import sqlite_reader
from projections.tables import TABLES
from projections.views.generations import is_outdated, live_generation
from projections.views.postgres_writer import PostgresProjection

_NO_ARCHIVES = Shelf(Path("/nonexistent"))
Report = Callable[[int, int], None]
"""Is called with how many rows or leaves are done, and how many there are."""


class Moved(NamedTuple):
    """What the database holds: its events, and the leaves, last position and root of its tree."""

    events: int
    leaves: int
    position: int
    root: bytes


@contextmanager
def open_migration(file: Path, url: str, move: str) -> Iterator["Migration"]:
    """Begin the move of this name, and keep other processes out of the database.

    Raise `NotMoved` and `StoreFailed`; the move may then be tried again.
    """
    with sqlite_reader(file).log() as log, open_copy(url) as copy:
        cursor = log.cursor()
        require_schema(cursor)
        if is_outdated(cursor):
            raise NotMoved("the read models have an earlier version: start the service once")
        head = head_here(cursor)
        copy.prepare(move, PostgresProjection().create)
        yield Migration(log, copy, head)


class Migration:
    """First `copy`, then `compare` and `verify`, then `finish`. What fails raises `NotMoved`."""

    def __init__(self, here: Log, copy: Copy, head: Head) -> None:
        self._here = here
        self._copy = copy
        self._head = head
        cursor = here.cursor()
        with copy.log() as there:
            self._tables = _tables(live_generation(cursor), live_generation(there.cursor()))
        self._rows = sum(count_rows(cursor, table) for table in self._tables)

    def copy(self, report: Report) -> None:
        """Copy all rows, whatever an earlier attempt left."""
        done = 0
        for table in self._tables:
            for rows in self._copy.copy_rows(self._here.cursor(), table):
                done += rows
                report(done, self._rows)
        self._copy.set_head(self._head)

    def compare(self, report: Report) -> None:
        """Check that every row is the same, and that the next event would go to the same place."""
        done = 0
        with self._copy.log() as there:
            for table in self._tables:
                for rows in require_equal(self._here.cursor(), there.cursor(), table):
                    done += rows
                    report(done, self._rows)
        if self._copy.head() != self._head:
            raise NotMoved("the copy does not end where the ledger ends")

    def verify(self, signer: Signer, report: Report) -> Moved:
        """Hash every copied event anew, and check that the tree is the ledger's.

        Archives stay where they are, and are not read.
        """
        checkpoint = checkpoint_of(self._here, signer.name)
        with self._copy.log() as there:
            try:
                found = verify(
                    there, _NO_ARCHIVES, checkpoint, signer.verifier, names=(), report=report
                )
            except CannotVerify as error:
                raise NotMoved(str(error)) from error
            events = there.count()
        if not found.intact:
            raise NotMoved(f"the ledger is not intact: {described(found.findings[0])}")
        expected = self._here.count(), checkpoint.size, checkpoint.epoch
        if (events, found.size, found.epoch) != expected:
            raise NotMoved("the copy has other events than the ledger")
        return Moved(events, found.size, checkpoint.position, checkpoint.root)

    def finish(self) -> None:
        """Make the copy a ledger."""
        self._copy.finish()


def _tables(here: int, there: int) -> list[CopiedTable]:
    """Return all tables of a store, and those of the read models in their generations."""
    views = [
        CopiedTable(f"{table.name}_g{here}", f"{table.name}_g{there}", table.columns, table.key)
        for table in TABLES
    ]
    return copied_tables() + views
