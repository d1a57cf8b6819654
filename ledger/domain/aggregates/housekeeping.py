"""The ledger's own acts: their state, and how events change it.

Each sweep, compaction, restore and parked stream has a stream of its own, so that old ones can be
discarded like anything else that is over; only the stream of retention policies never ends.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Recorded
from ledger.domain.events.housekeeping import (
    ArchiveWritten,
    CompactionEvent,
    DiscardedTree,
    JobsDiscarded,
    LedgerCompacted,
    LedgerRestored,
    ParkingEvent,
    RetentionPolicySet,
    StreamParked,
    StreamReleased,
)


class Terms(NamedTuple):
    """What a policy keeps: each tree for `keep` after its end, and `keep_last` of each series."""

    keep: timedelta
    keep_last: int


DEFAULT_TERMS = Terms(timedelta(days=3), 20)
"""What is kept unless a policy is set."""
NOBODY = ""
"""The owner of the ledger's own acts, which is no account."""


class Policy(Struct, frozen=True, gc=False):
    """The retention policies, oldest first."""

    owner: ClassVar[str] = NOBODY

    history: tuple[RetentionPolicySet, ...] = ()

    def terms(self, at: datetime) -> Terms:
        """Return what is kept by the policy that holds at this moment."""
        held = self.held(at)
        return DEFAULT_TERMS if held is None else Terms(held.keep, held.keep_last)

    def held(self, at: datetime) -> RetentionPolicySet | None:
        """Return the policy that holds at this moment; None if the default does."""
        return next((one for one in reversed(self.history) if one.holds_from <= at), None)


class Sweep(Struct, frozen=True, gc=False):
    """What one sweep has discarded; `last_modified` is the time of its newest event."""

    owner: ClassVar[str] = NOBODY

    uuid: str
    keep: timedelta
    cutoff: datetime
    last_modified: datetime
    discards: tuple[JobsDiscarded, ...] = ()
    complete: bool = False

    @property
    def trees(self) -> tuple[DiscardedTree, ...]:
        return tuple(tree for event in self.discards for tree in event.trees)

    @property
    def others(self) -> tuple[str, ...]:
        """The discarded streams that belong to no job."""
        return tuple(stream for event in self.discards for stream in event.streams)

    def streams(self) -> tuple[str, ...]:
        """Return the streams that are no longer shown and may be archived."""
        jobs = tuple(stream for tree in self.trees for stream in tree.streams())
        return jobs + self.others


class Compaction(Struct, frozen=True, gc=False):
    """One archive; `gone` is None until its events have been deleted from the store."""

    owner: ClassVar[str] = NOBODY

    uuid: str
    written: ArchiveWritten
    last_modified: datetime
    gone: int | None = None


class Restoration(Struct, frozen=True, gc=False):
    owner: ClassVar[str] = NOBODY

    uuid: str
    at: datetime
    epoch: int
    checkpoint: str


Handling = Literal["parked", "retry", "skip"]


class Parking(Struct, frozen=True, gc=False):
    """How readers of the log handle a stream that one of them could not fold."""

    owner: ClassVar[str] = NOBODY

    stream: str
    reader: str
    reason: str
    at: datetime
    handling: Handling = "parked"


Act = Policy | Sweep | Compaction | Restoration | Parking


def evolve_policy(policy: Policy | None, _: str, recorded: Recorded[RetentionPolicySet]) -> Policy:
    """Return the policies after one more was set."""
    return Policy((*(policy or Policy()).history, recorded.event))


def evolve_sweep(sweep: Sweep | None, uuid: str, recorded: Recorded[JobsDiscarded]) -> Sweep:
    """Return the sweep after it has discarded some more."""
    event = recorded.event
    before = sweep or Sweep(uuid, event.keep, event.cutoff, recorded.recorded_at)
    return replace(
        before,
        last_modified=recorded.recorded_at,
        discards=(*before.discards, event),
        complete=event.last,
    )


def evolve_compaction(
    compaction: Compaction | None, uuid: str, recorded: Recorded[CompactionEvent]
) -> Compaction:
    """Return the compaction after one of its two steps."""
    match recorded.event:
        case ArchiveWritten():
            assert compaction is None, f"compaction {uuid} written twice"
            return Compaction(uuid, recorded.event, recorded.recorded_at)
        case LedgerCompacted(gone=gone):
            assert compaction is not None, f"compaction {uuid} has no archive"
            return replace(compaction, last_modified=recorded.recorded_at, gone=gone)


def evolve_restoration(
    restoration: Restoration | None, uuid: str, recorded: Recorded[LedgerRestored]
) -> Restoration:
    """Return the restore, which is one event."""
    assert restoration is None, f"restoration {uuid} recorded twice"
    event = recorded.event
    return Restoration(uuid, recorded.recorded_at, event.epoch, event.checkpoint)


def evolve_parking(
    parking: Parking | None, stream: str, recorded: Recorded[ParkingEvent]
) -> Parking:
    """Return how a stream is handled after it was parked or released."""
    match recorded.event:
        case StreamParked(reader=reader, reason=reason):
            return Parking(stream, reader, reason, recorded.recorded_at)
        case StreamReleased(skip=skip):
            assert parking is not None, f"{stream} was never parked"
            return replace(parking, handling="skip" if skip else "retry", at=recorded.recorded_at)
