"""Ledgers with jobs that end, are discarded and archived: many events, quickly made.

Events go straight into the store; what is archived goes there by a real compaction.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from ledger.archives import Shelf
from ledger.codec import encode
from ledger.domain.commands.housekeeping import RecordArchive
from ledger.domain.events import Event, Recorded
from ledger.domain.events.housekeeping import (
    DiscardedTree,
    JobsDiscarded,
    LedgerRestored,
    compaction_stream,
    restoration_stream,
    sweep_stream,
)
from ledger.domain.events.jobs import (
    JobAttemptStarted,
    JobCreated,
    JobSucceeded,
    ProgressUpdated,
    job_stream,
)
from ledger.merkle.signed_note import Checkpoint, Signer, read_checkpoint
from ledger.proofs.checkpoints import checkpoint_of
from ledger.proofs.tile_builder import tile
from ledger.proofs.verification import Verified, verify
from ledger.store.compaction import delete_events
from ledger.store.seam import Batch
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.retention.compaction import ARCHIVES, _Compaction, compact
from projections.maintenance.retention.sweep import SYSTEM, never
from projections.streams import pending_sweeps
from tests.support.opened import Opened
from tests.support.world import ME, START

SIGNER = Signer("job-ledger/test", bytes(32))
KEEP = timedelta(days=3)
FILE = "ledger.sqlite"


class Sealed(NamedTuple):
    """A data directory that nobody has open, an older copy of it, and its newest checkpoint."""

    data: Path
    older: Path
    checkpoint: Checkpoint

    @property
    def archives(self) -> Path:
        return self.data / ARCHIVES

    @contextmanager
    def copy(self, to: Path) -> Iterator["Sealed"]:
        """Another one to be tampered with, gone afterwards."""
        shutil.copytree(self.data, to)
        yield self._replace(data=to)
        shutil.rmtree(to)


class History:
    """A ledger that is written to as a test wishes."""

    def __init__(self, data: Path, first_id: int = 1) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.data = data
        self.opened = Opened(data / FILE)
        self._numbers = count(first_id)
        self._closed = False
        self._waiting: list[str] = []
        self._over: list[str] = []

    @property
    def size(self) -> int:
        with self.opened.ledger.log() as log:
            return log.leaf_count()

    def record(self, *events: tuple[str, int, Event]) -> None:
        """Events of streams at versions."""
        stored = [
            encode(stream, version, Recorded(START, "test", "", event))
            for stream, version, event in events
        ]
        self.opened.store.append(Batch(stored, (), {}, (), ()))

    def jobs(self, number: int, updates: int = 3) -> None:
        """So many jobs that run beside each other, and end."""
        uuids = [f"{next(self._numbers):05}" for _ in range(number)]
        steps: list[Event] = [
            JobCreated("x", ME, (), "root"),
            JobAttemptStarted(1, "w"),
            *(ProgressUpdated(1, nth, nth, 100, nth) for nth in range(updates)),
            JobSucceeded(),
        ]
        self.record(
            *(
                (job_stream(uuid), version, e)
                for version, e in enumerate(steps, 1)
                for uuid in uuids
            )
        )
        self._waiting += uuids

    def tile(self) -> None:
        tile(self.opened.ledger)

    def discard(self, number: int | None = None) -> None:
        """A sweep discards the oldest jobs, or all of them, and old acts with them."""
        going, self._waiting = self._waiting[:number], self._waiting[number:] if number else []
        if not going:
            return
        uuid = f"{next(self._numbers):05}"
        trees = tuple(DiscardedTree(ME, (job,), START) for job in going)
        others = tuple(self._over[:-1])  # the newest compaction stays
        event = JobsDiscarded(KEEP, START + KEEP, 0, trees, others, last=True)
        self.record((sweep_stream(uuid), 1, event))
        self._over = [sweep_stream(uuid), *self._over[-1:]]

    def compact(self) -> None:
        uuid = f"{next(self._numbers):05}"
        if compact(self.opened.ledger, self.archives, lambda: uuid) is not None:
            self._over.append(compaction_stream(uuid))

    def begin_compaction(self, deleted: int) -> None:
        """One that was broken off when so many events were deleted."""
        ledger = self.opened.ledger
        with ledger.log() as log:
            waiting = pending_sweeps(log)
        tile(ledger)
        self.archives.mkdir(exist_ok=True)
        compacting = _Compaction(ledger, self.archives, SYSTEM, never)
        uuid = f"{next(self._numbers):05}"
        written, _ = compacting._write(uuid, waiting)
        ledger.execute_blocking(RecordArchive(uuid, written), SYSTEM)
        with ledger.log() as log:
            positions = list(compacting._positions(log.cursor(), waiting))[:deleted]
        ledger.exclusive(partial(delete_events, positions=positions)).result()

    def write_archive_only(self) -> None:
        """A compaction that was broken off before its archive was recorded."""
        with self.opened.ledger.log() as log:
            waiting = pending_sweeps(log)
        self.archives.mkdir(exist_ok=True)
        compacting = _Compaction(self.opened.ledger, self.archives, SYSTEM, never)
        compacting._write(f"{next(self._numbers):05}", waiting)

    def restore(self, epoch: int, signer: Signer = SIGNER) -> None:
        """What a restore records in the ledger that it has put here."""
        now = self.checkpoint()
        note = signer.sign(now._replace(epoch=epoch, origin=signer.name).text())
        uuid = f"{next(self._numbers):05}"
        self.record((restoration_stream(uuid), 1, LedgerRestored(epoch, note)))

    @property
    def archives(self) -> Path:
        return self.data / ARCHIVES

    def checkpoint(self) -> Checkpoint:
        with self.opened.ledger.log() as log:
            return signed(checkpoint_of(log, SIGNER.name))

    def close(self) -> None:
        """May be called again."""
        if not self._closed:
            self._closed = True
            self.opened.close()


def signed(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint after it was signed and read again."""
    note = SIGNER.sign(checkpoint.text())
    return read_checkpoint(note.encode(), SIGNER.verifier)


def verified(data: Path, checkpoint: Checkpoint) -> Verified:
    """What a verification of this data directory comes to."""
    shelf = Shelf(data / ARCHIVES)
    names = shelf.names()
    with sqlite_reader(data / FILE).log() as log:
        return verify(log, shelf, checkpoint, SIGNER.verifier, names=names)


def archive_names(data: Path) -> Sequence[str]:
    return Shelf(data / ARCHIVES).names()
