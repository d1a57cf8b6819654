"""Backups of a ledger in this process, and restores of them."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from api.cli.commands.backup import _record, record_restore
from api.data.location import LEDGER_FILE
from api.service.ids import new_id
from ledger.domain.commands.drives import CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob
from ledger.images.pools import Pool
from ledger.merkle.signed_note import Checkpoint
from ledger.proofs.checkpoints import checkpoint_of
from ledger.proofs.keys import signer_of
from ledger.proofs.tree import Tree
from ledger.store.seam import LoggedEvent
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.backup.creation import Taken, take
from projections.maintenance.backup.restoration import Restored, check_first, restore
from projections.maintenance.retention.service import Retention
from tests.retention.conftest import Clock
from tests.support.opened import Opened, behind_its_back
from tests.support.retained import Retained
from tests.support.world import GIB, ME, START, disk

DAYS = 3


class Ledger(Retained):
    """A ledger in a data directory of its own, with a key."""

    def __init__(self, data: Path, clock: Clock) -> None:
        super().__init__(data / "ledger.sqlite", clock)
        self.data = data
        self.retention = Retention(
            self.ledger, self.archives, now=clock, new_id=new_id, clocks=self._clocks
        )
        self.signer = signer_of(data, new_id=lambda: "test")

    def back_up(self, backup: Path, pools: Mapping[str, Pool] | None = None) -> Taken:
        return take(
            self.file, self.archives, lambda: self.signer, backup, pools=pools, now=lambda: START
        )

    def checkpoint(self) -> Checkpoint:
        with self.ledger.log() as log:
            return checkpoint_of(log, self.signer.name)

    def add_plain_things(self) -> None:
        """What is in no event."""
        with behind_its_back(self.file) as connection:
            connection.execute("INSERT INTO accounts VALUES ('u','e@x','user','hash',1,'then')")
            connection.execute("INSERT INTO sessions VALUES (x'01','u',x'02','then','later')")
            connection.execute("INSERT INTO tokens VALUES ('t',x'03','u','name','then')")
            connection.execute(
                "INSERT INTO token_grants VALUES ('t','*','[]',NULL,'later',NULL,'then')"
            )
            connection.execute("INSERT INTO external_ids VALUES ('u','//nas','photos','j')")
            connection.execute("INSERT INTO removed_tokens VALUES (x'07','then')")
            connection.execute("INSERT INTO job_token_keys VALUES (1,x'08','then')")
            connection.execute("INSERT INTO known_places VALUES ('u',x'06','then')")
            connection.execute("INSERT INTO endings VALUES ('u', 1)")
            connection.execute("INSERT INTO hourly_keys VALUES (1, x'04')")
            connection.execute("INSERT INTO signed_by VALUES ('whoever')")
            connection.execute(
                "INSERT INTO claims VALUES ('u','key',x'04','seed','then',202,'a','b',x'05')"
            )


def restored(
    backup: Path,
    data: Path,
    pools: Mapping[str, Pool] | None = None,
    *,
    clock: Clock | None = None,
) -> Restored:
    """Restore a backup by the clock of the machine or, for a ledger that goes on, of the test."""
    checked = check_first(backup, data, pools or {})
    record = _record if clock is None else partial(_record_at, clock)
    return restore(checked, data, pools or {}, record)


def _record_at(clock: Clock, data: Path, epoch: int, checkpoint: str) -> None:
    with Opened(data / LEDGER_FILE, now=clock) as opened:
        asyncio.run(record_restore(opened.ledger, epoch, checkpoint))


def archived(ledger: Retained, clock: Clock, job: str) -> None:
    """A job runs, ends, and is moved to an archive, with all else that has ended."""
    ledger.do(CreateJob(ME, job, "x"), StartAttempt(job, 1, "w"), SucceedJob(job, 1))
    clock.advance(days=DAYS, seconds=1)
    assert ledger.run().compacted is not None


def drive(ledger: Retained, uuid: str, size: int = GIB) -> None:
    new = NewDrive(uuid, disk(uuid, size))
    ledger.do(CreateDrives(ME, (new,), "blank"), MarkDriveReady(uuid))


def events(file: Path) -> list[LoggedEvent]:
    with sqlite_reader(file).log() as log:
        return list(log.events())


def tree_root(file: Path, size: int) -> bytes:
    with sqlite_reader(file).log() as log:
        return Tree(log).root(size)


def tables(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, those of SQLite's own too."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in names
        }


def pragma(file: Path, name: str) -> object:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
