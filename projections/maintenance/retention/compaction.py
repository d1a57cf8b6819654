"""Compaction: moves the events of discarded streams from the store to an archive.

    written and synced -> ArchiveWritten -> events deleted, some at a time -> LedgerCompacted

Until `ArchiveWritten` is recorded, the store has all events and the file counts for nothing. From
then on the archive has them, whether or not some are still in the store. Events are deleted in the
order of their positions, so each stream is gone from the store with its first event; what is left
of it is a tail that nothing folds (`ledger.store.whole_streams`). So a crash leaves a ledger that
reads right, and the next process finishes the deletion.
"""

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ledger.application import Ledger
from ledger.archives import ArchiveNotWritten, Shelf, write_archive
from ledger.domain.aggregates.housekeeping import Sweep
from ledger.domain.commands.housekeeping import RecordArchive, RecordCompaction
from ledger.domain.events.housekeeping import ArchiveWritten
from ledger.images.files import make_directory
from ledger.proofs.tile_builder import TilingStopped, tile
from ledger.store.compaction import (
    delete_events,
    events_at,
    give_back,
    is_stored,
    positions_of,
)
from ledger.store.parameters import sliced
from ledger.store.seam import Cursor, Log, LoggedEvent
from ledger.store.tables import guards, spent_ids
from ledger.store.tables.tiles import gone_count
from ledger.store.unit_of_work import tree_guard
from ledger.store.writer import Caller
from projections.maintenance.retention.archive_index import archived_trees
from projections.maintenance.retention.sweep import SYSTEM, RetentionStopped, never
from projections.streams import compactions, pending_sweeps, sweeps

T = TypeVar("T")

ARCHIVES = "archive"
"""The directory of the archives in a data directory."""
READ_AT_ONCE = 500
DELETED_AT_ONCE = 64
SLICE_S = 0.002
"""How long one transaction deletes events; commands wait as long."""
PAUSE_S = 0.002
"""The pause between two slices, in which those commands are executed."""
PAGES_AT_ONCE = 64


class Compacted(NamedTuple):
    """An archive, and how much has moved to it from the store."""

    archive: str
    events: int
    bytes: int


def compact(
    ledger: Ledger,
    archives: Path,
    new_id: Callable[[], str],
    by: Caller = SYSTEM,
    *,
    stopping: Callable[[], bool] = never,
) -> Compacted | None:
    """Archive everything that is discarded; return None if there is nothing.

    Block; the caller holds `maintenance`. First finish what an earlier compaction left. Raise
    `ArchiveNotWritten` with nothing changed, `BadArchive` if an archive is not what was recorded,
    `StoreFailed`, and `RetentionStopped` soon after `stopping` returns true.
    """
    try:
        return _Compaction(ledger, archives, by, stopping).run(new_id)
    except TilingStopped as error:
        raise RetentionStopped("the compaction was interrupted") from error


def finish_compaction(
    ledger: Ledger, archives: Path, by: Caller = SYSTEM, *, stopping: Callable[[], bool] = never
) -> None:
    """Delete what an interrupted compaction left in the store; raise as `compact`."""
    _Compaction(ledger, archives, by, stopping).finish()


class _Compaction:
    def __init__(
        self, ledger: Ledger, archives: Path, by: Caller, stopping: Callable[[], bool]
    ) -> None:
        self._ledger = ledger
        self._archives = archives
        self._by = by
        self._stopping = stopping

    def finish(self) -> None:
        with self._ledger.log() as log:
            unfinished = [one for one in compactions(log) if one.gone is None]
        for compaction in unfinished:
            Shelf(self._archives).get(compaction.written.archive).check(compaction.written.digest)
            self._delete(compaction.uuid, compaction.written)

    def run(self, new_id: Callable[[], str]) -> Compacted | None:
        self.finish()
        with self._ledger.log() as log:
            self._remove_unrecorded(log)
            waiting = pending_sweeps(log)
        if not waiting:
            return None
        tile(self._ledger, stopping=self._stopping)
        uuid = new_id()
        self._make_directory()
        written, size = self._write(uuid, waiting)
        self._ledger.maintenance.check()  # another holder would remove what is unrecorded
        self._ledger.execute_blocking(RecordArchive(uuid, written), self._by)
        self._ledger.exclusive(partial(spent_ids.add_archive, archive=uuid)).result()
        self._delete(uuid, written)
        return Compacted(written.archive, written.events, size)

    def _write(self, uuid: str, waiting: Sequence[Sweep]) -> tuple[ArchiveWritten, int]:
        found = (tree for sweep in waiting for tree in archived_trees(self._ledger, sweep))
        trees = [*map(self._unless_stopping, found)]
        with self._ledger.log() as log:
            positions = self._positions(log.cursor(), waiting)
        events = map(self._unless_stopping, self._events(positions))
        done = write_archive(self._archives, uuid, events, trees)
        swept = tuple(sweep.uuid for sweep in waiting)
        written = ArchiveWritten(done.name, done.digest, done.events, done.first, done.last, swept)
        return written, done.bytes

    def _events(self, positions: "array[int]") -> Iterator[LoggedEvent]:
        """Yield the events at these positions, some at a time: one long read would be cut.

        Nobody else deletes any of them.
        """
        for some in sliced(positions, READ_AT_ONCE):
            yield from self._ledger.read(partial(_events_at, positions=some))

    def _make_directory(self) -> None:
        """Make the directory and its name durable: soon only its archive has the events."""
        try:
            make_directory(self._archives)
        except OSError as error:
            raise ArchiveNotWritten(f"{self._archives}: {error.strerror}") from error

    def _positions(self, cursor: Cursor, swept: Sequence[Sweep]) -> "array[int]":
        """Return the positions of their events in the store, in an array: there may be millions."""
        streams = sorted({stream for sweep in swept for stream in sweep.streams()})
        return array("q", sorted(positions_of(cursor, streams)))

    def _remove_unrecorded(self, log: Log) -> None:
        """Remove archives that a crash kept from being recorded; the store has their events."""
        recorded = {one.written.archive for one in compactions(log)}
        shelf = Shelf(self._archives)
        shelf.remove_unfinished()
        for name in shelf.names():
            if name not in recorded and is_stored(log.cursor(), shelf.get(name).first):
                shelf.remove(name)

    def _delete(self, uuid: str, written: ArchiveWritten) -> None:
        """Delete what is in the archive, and record that it is done."""
        with self._ledger.log() as log:
            swept = [sweep for sweep in sweeps(log) if sweep.uuid in written.sweeps]
            positions = self._positions(log.cursor(), swept)
        assert len(positions) <= written.events, "an event came after its stream was discarded"
        # In ascending order: a stream must lose its first event first.
        left = list(sliced(positions, DELETED_AT_ONCE))
        left.reverse()
        self._ledger.maintenance.check()
        while left:
            self._unless_stopping(None)
            self._ledger.exclusive(partial(_delete_some, left=left)).result()
            time.sleep(PAUSE_S)
        names = [stream.partition("-")[2] for sweep in swept for stream in sweep.others]
        names += [tree_guard(tree.jobs[0]) for sweep in swept for tree in sweep.trees]
        for some in sliced(names, DELETED_AT_ONCE):
            self._ledger.exclusive(partial(guards.remove, names=some)).result()
        with self._ledger.log() as log:
            gone = gone_count(log.cursor())
        self._ledger.execute_blocking(RecordCompaction(uuid, gone), self._by)
        # Pages that are not given back now are reused, or given back with the next archive.
        give = partial(give_back, pages=PAGES_AT_ONCE)
        while not self._stopping() and self._ledger.exclusive(give).result():
            time.sleep(PAUSE_S)

    def _unless_stopping(self, what: T) -> T:
        if self._stopping():
            raise RetentionStopped("the compaction was interrupted")
        return what


def _events_at(cursor: Cursor, positions: Sequence[int]) -> list[LoggedEvent]:
    return [*events_at(cursor, positions)]


def _delete_some(cursor: Cursor, left: list[Sequence[int]]) -> None:
    """Delete some events, and then more for as long as one slice may take."""
    until = time.monotonic() + SLICE_S
    delete_events(cursor, left.pop())
    while left and time.monotonic() < until:
        delete_events(cursor, left.pop())
