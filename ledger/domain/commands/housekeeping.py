"""Commands about the ledger itself: retention, compaction, restores, parked streams."""

from datetime import datetime, timedelta

from msgspec import Struct

from ledger.domain.context import RowKey
from ledger.domain.events.housekeeping import ArchiveWritten, DiscardedTree


class SetRetention(Struct, frozen=True, gc=False):
    """From now on keep jobs for this long after their end, and the last of each series.

    Without `keep_last`, as many of a series are kept as before.
    """

    keep: timedelta
    keep_last: int | None = None


class DiscardJobs(Struct, frozen=True, gc=False):
    """Discard trees of jobs that ended before the cutoff, and streams that no job names any more.

    `rows` are all rows that show them, as they were when the guards of the trees were `guards`.
    `unread` are the streams that cannot be folded, and were
    released to be discarded unread. `last`: with this the sweep has discarded all that was due.
    """

    sweep: str
    keep: timedelta
    cutoff: datetime
    planned_at: int
    trees: tuple[DiscardedTree, ...]
    streams: tuple[str, ...]
    rows: tuple[RowKey, ...]
    unread: tuple[str, ...] = ()
    last: bool = False
    guards: tuple[int, ...] = ()
    keep_last: int = 0


class RecordArchive(Struct, frozen=True, gc=False):
    """All events of the streams that some sweeps discarded are in an archive, on disk."""

    compaction: str
    written: ArchiveWritten


class RecordCompaction(Struct, frozen=True, gc=False):
    """The archive's events are deleted from the store; `gone` counts all ever deleted."""

    compaction: str
    gone: int


class RecordRestore(Struct, frozen=True, gc=False):
    """The ledger was restored from a backup; a new epoch begins with this checkpoint of it."""

    restoration: str
    epoch: int
    checkpoint: str


class ParkStream(Struct, frozen=True, gc=False):
    """A reader of the log cannot fold a stream, and continues without it."""

    stream: str
    reader: str
    reason: str


class ReleaseStream(Struct, frozen=True, gc=False):
    """Let readers try a parked stream again or, with `skip`, pass over it."""

    stream: str
    skip: bool


HousekeepingCommand = (
    SetRetention
    | DiscardJobs
    | RecordArchive
    | RecordCompaction
    | RecordRestore
    | ParkStream
    | ReleaseStream
)
