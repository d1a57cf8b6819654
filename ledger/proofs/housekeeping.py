"""The acts of the ledger that verification needs: what was archived, deleted and restored."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from ledger.codec import decode
from ledger.domain.errors.store import UnknownEvent
from ledger.domain.events import Event
from ledger.domain.events.housekeeping import (
    ArchiveWritten,
    JobsDiscarded,
    LedgerCompacted,
    LedgerRestored,
    sweep_stream,
)
from ledger.proofs.checkpoints import FIRST_EPOCH
from ledger.proofs.event_sources import OnFinding
from ledger.proofs.findings import UnreadableAct
from ledger.store import untrusted_rows as raw
from ledger.store.seam import Cursor, LoggedEvent

_KINDS = {"compaction", "restoration"}


class Restore(NamedTuple):
    """A recorded restore; `size` is how many events there were before it."""

    position: int
    size: int
    epoch: int
    epoch_before: int
    note: str


class OwnActs:
    """Collects these acts from events in the order of their leaves."""

    def __init__(self, found: OnFinding) -> None:
        self._found = found
        self._written: dict[str, ArchiveWritten] = {}
        self._over: dict[str, int] = {}
        self._restores: list[Restore] = []

    def take(self, event: LoggedEvent) -> None:
        """Take one more event, of whatever kind."""
        if event.stream.partition("-")[0] not in _KINDS:
            return
        try:
            recorded = decode(event.topic, event.state)
        except UnknownEvent as error:
            self._found(UnreadableAct(event.position, str(error)))
            return
        match recorded.event:
            case ArchiveWritten() as written:
                self._written[event.stream] = written
            case LedgerCompacted(gone=gone):
                self._over[event.stream] = gone
            case LedgerRestored(epoch=epoch, checkpoint=note):
                size = event.leaf_index
                self._restores.append(Restore(event.position, size, epoch, self.epoch, note))
            case _:
                reason = f"{event.topic} has no place in {event.stream}"
                self._found(UnreadableAct(event.position, reason))

    @property
    def epoch(self) -> int:
        """The newest epoch so far."""
        return self._restores[-1].epoch if self._restores else FIRST_EPOCH

    def restores_from(self, leaf: int) -> list[Restore]:
        """Return the restores so far whose events have this leaf index or a later one."""
        return [restore for restore in self._restores if restore.size >= leaf]

    def disbelieve(self, restore: Restore) -> None:
        """Drop a forged restore: it begins no epoch."""
        self._restores.remove(restore)

    def first_after(self, epoch: int) -> Restore | None:
        """Return the restore to a later epoch that went back furthest."""
        later = [restore for restore in self._restores if restore.epoch > epoch]
        return min(later, key=lambda restore: restore.size, default=None)

    @property
    def archives(self) -> dict[str, ArchiveWritten]:
        """The archives that were written, by name."""
        return {written.archive: written for written in self._written.values()}

    def is_over(self, archive: str) -> bool:
        """Whether the events of this archive have been deleted from the store."""
        return any(
            written.archive == archive and stream in self._over
            for stream, written in self._written.items()
        )

    @property
    def gone(self) -> tuple[int, int]:
        """How many events are gone, at least and at most: a compaction may be under way."""
        over = max(self._over.values(), default=0)
        return over, over + sum(written.events for written in self.unfinished())

    def unfinished(self) -> Iterator[ArchiveWritten]:
        """Return the archives whose events are being deleted."""
        return (written for stream, written in self._written.items() if stream not in self._over)

    def unrecorded(self, gone: int) -> int:
        """Return how many gone events were deleted by compactions whose record is gone too."""
        known = sum(written.events for name, written in self.archives.items() if self.is_over(name))
        return max(0, min(gone, self.gone[0]) - known)


def archives_recorded(cursor: Cursor) -> set[str]:
    """Return the archives that the acts in the store name."""
    acts = _readable(raw.events_of(cursor, "compaction"))
    return {act.archive for act in acts if isinstance(act, ArchiveWritten)}


def streams_being_deleted(cursor: Cursor, acts: OwnActs) -> set[str]:
    """Return the streams of which a compaction may have deleted a part."""
    sweeps = {sweep_stream(uuid) for written in acts.unfinished() for uuid in written.sweeps}
    if not sweeps:
        return set()
    swept = (event for event in raw.events_of(cursor, "sweep") if event.stream in sweeps)
    discards = (act for act in _readable(swept) if isinstance(act, JobsDiscarded))
    return {stream for discard in discards for stream in _streams(discard)}


def _readable(events: Iterable[LoggedEvent]) -> Iterator[Event]:
    for event in events:
        with suppress(UnknownEvent):
            yield decode(event.topic, event.state).event


def _streams(discard: JobsDiscarded) -> Iterator[str]:
    for tree in discard.trees:
        yield from tree.streams()
    yield from discard.streams
