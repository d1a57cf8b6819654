"""The ledger's own acts.

Each sweep, compaction, restore and parked stream has a stream of its own, so that old ones can be
deleted; the retention policy has one stream, which stays.
"""

from datetime import datetime, timedelta

from ledger.domain.events.jobs import job_stream
from ledger.domain.events.values import Closed


class RetentionPolicySet(Closed, frozen=True):
    """From `holds_from` on, what ended longer ago than `keep` is due to be discarded.

    But of each series, the `keep_last` root jobs that ended last stay, and the last that succeeded.
    """

    keep: timedelta
    holds_from: datetime
    keep_last: int = 0


class DiscardedTree(Closed, frozen=True):
    """A root job and all below it; `jobs` lists the root first, `ended` is their latest end."""

    owner: str
    jobs: tuple[str, ...]
    ended: datetime

    def streams(self) -> tuple[str, ...]:
        return tuple(map(job_stream, self.jobs))


class JobsDiscarded(Closed, frozen=True):
    """These trees ended before `cutoff`, under a policy of `keep`, and are no longer shown.

    `streams` are those of deleted drives, servers and tags that no tree names any more, and of the
    ledger's own old acts. `last` means that all is discarded that was due by the cutoff and had
    ended by `planned_at`, the position as of which the sweep was planned.
    """

    keep: timedelta
    cutoff: datetime
    planned_at: int
    trees: tuple[DiscardedTree, ...]
    streams: tuple[str, ...] = ()
    last: bool = False


class ArchiveWritten(Closed, frozen=True):
    """All events of what these sweeps discarded are in an archive on disk, so they may be deleted.

    `digest` is the SHA-256 of the file, `first` and `last` the positions that it spans.
    """

    archive: str
    digest: str
    events: int
    first: int
    last: int
    sweeps: tuple[str, ...]


class LedgerCompacted(Closed, frozen=True):
    """The archived events are deleted; `gone` counts the deleted events of all compactions."""

    gone: int


class LedgerRestored(Closed, frozen=True):
    """The ledger comes from a backup: what was recorded after the backup is lost.

    `checkpoint` is the first of the new epoch, signed over the ledger as the backup held it.
    """

    epoch: int
    checkpoint: str


class StreamParked(Closed, frozen=True):
    """A reader of the log cannot fold this stream, and continues without it."""

    stream: str
    reader: str
    reason: str


class StreamReleased(Closed, frozen=True):
    """The readers try the stream again, or (`skip`) take it as it is stored, unread."""

    skip: bool


PolicyEvent = RetentionPolicySet


SweepEvent = JobsDiscarded


CompactionEvent = ArchiveWritten | LedgerCompacted


RestorationEvent = LedgerRestored


ParkingEvent = StreamParked | StreamReleased


POLICY_STREAM = "policy-retention"


def sweep_stream(uuid: str) -> str:
    return f"sweep-{uuid}"


def compaction_stream(uuid: str) -> str:
    return f"compaction-{uuid}"


def restoration_stream(uuid: str) -> str:
    return f"restoration-{uuid}"


def parking_stream(stream: str) -> str:
    """Return the stream that records whether `stream` is parked."""
    return f"parking-{stream}"
