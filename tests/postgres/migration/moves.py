"""Ledgers that are moved into PostgreSQL, and everything that can be compared afterwards."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from api.data.move_to_postgres import move
from api.resources.jobs.representation import represent_job
from api.service.ids import new_id
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.stamps import microseconds
from ledger.merkle.signed_note import read_checkpoint
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.verification import Verified, verify
from ledger.store.seam import Cursor
from ledger.store.tables import cancel_plans
from ledger.store.tables.stamps import newest_stamp
from projections.maintenance.migrate import Moved, Report
from projections.tables import TABLES
from projections.time_travel.past import Past
from tests.backup.backups import Ledger, archived
from tests.retention.conftest import Clock
from tests.support.opened_postgres import retained_in_postgres
from tests.support.retained import Retained
from tests.support.story import STORY
from tests.support.world import ME, SOMEBODY_ELSE, START, Foreseen

UPDATES = 600
"""Of a job that is archived: two tiles, and more, of whose events none is left."""
SHOWN_UPDATES = 60
Showing = Callable[[str, str], AbstractContextManager[Report]]


def make(data: Path) -> Clock:
    """A ledger with events of every kind, some of them archived."""
    data.mkdir()
    clock = Clock()
    with Ledger(data, clock) as ledger:
        ledger.do(*STORY)
        ledger.do(CreateJob(ME, "long", "x"), StartAttempt("long", 1, "w"))
        for done in range(UPDATES):
            ledger.do(UpdateProgress("long", 1, done * 99 // UPDATES, done, UPDATES, done))
        ledger.do(SucceedJob("long", 1))
        archived(ledger, clock, "first")
        archived(ledger, clock, "second")
        ledger.do(CreateJob(ME, "last", "x"), StartAttempt("last", 1, "w"))
        for done in range(SHOWN_UPDATES):
            ledger.do(UpdateProgress("last", 1, done, done, UPDATES, done))
        ledger.add_plain_things()
        Checkpoints(ledger.ledger, ledger.signer, now=clock).keep()
        ledger.do(CreateJob(ME, "not tiled yet", "x"))
        ledger.ledger.exclusive(_add_stamp_fault).result()
        ledger.ledger.exclusive(_add_plan).result()
    return clock


def _add_plan(cursor: Cursor) -> None:
    cancel_plans.add(
        cursor, "plan", jobs=["last"], account=ME, now=START, expires=START + timedelta(minutes=15)
    )


def _add_stamp_fault(cursor: Cursor) -> None:
    """Add what an upgrade may have found."""
    cursor.execute("INSERT INTO stamp_faults VALUES (1, 1, ?)", (microseconds(START),))


def moved(data: Path, url: str, showing: Showing | None = None) -> Moved | None:
    return move(data, url, new_id=new_id, showing=showing or unseen)


@contextmanager
def unseen(doing: str, what: str) -> Iterator[Report]:
    yield lambda done, total: None


def in_postgres(url: str, data: Path, clock: Clock) -> Retained:
    """The moved ledger, opened."""
    kind = retained_in_postgres(url)
    return kind(data / "none", clock, environment=Foreseen(prefix="later"))


def told(opened: Retained) -> dict[str, Any]:
    """Everything that a ledger answers: its events, what is shown, what was, and two audits."""
    with opened.ledger.log() as log:
        events = list(log.events())
        count, leaves, last = log.count(), log.leaf_count(), log.last_position()
        newest = newest_stamp(log.cursor())
    past = {}
    with opened.views.long_snapshot() as snapshot:
        for position in range(1, last + 1, 7):
            for owner in (ME, SOMEBODY_ELSE):
                then = Past(snapshot, opened.shelf, position)
                page = then.jobs(owner, None, limit=1000, offset=0)
                past[position, owner] = [represent_job(tree, None) for tree in page.trees]
    return {
        "events": events,
        "counts": (count, leaves, last),
        "newest stamp": newest,
        "rows": opened.rows(),
        "past": past,
        "replay": opened.replay(),
        "replay with archives": opened.replay(opened.archives),
    }


def verified(opened: Retained, ledger: Ledger, note: str) -> Verified:
    """What the holder of a checkpoint finds."""
    checkpoint = read_checkpoint(note.encode(), ledger.signer.verifier)
    with opened.ledger.log() as log:
        names = opened.shelf.names()
        return verify(log, opened.shelf, checkpoint, ledger.signer.verifier, names=names)


def rows_in_sqlite(file: Path) -> dict[str, list[Any]]:
    """All rows of all tables but those that say how a database does things."""
    with closing(sqlite3.connect(file)) as connection:
        return _rows(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")


def rows_in_postgres(url: str) -> dict[str, list[Any]]:
    with psycopg.connect(url) as connection:
        return _rows(
            connection, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )


def _rows(connection: Any, tables: str) -> dict[str, list[Any]]:
    shown = {f"{table.name}_g1" for table in TABLES}
    not_rows = {"sqlite_sequence", "leaf_count", "schema_version", "home", "writers"}
    names = {name for (name,) in connection.execute(tables).fetchall()} - not_rows
    assert shown < names
    return {
        name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
        for name in names
    }
