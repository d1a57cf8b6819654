"""What an account's jobs did over time: how many began, ended and ran, and how much was copied.

Only jobs that are still stored count. They are counted in the order of their positions, whatever
the clocks showed: a job has always begun before it ended.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ledger.domain.stamps import DISORDER, microseconds
from ledger.store.parameters import timestamp
from ledger.store.tables.stamps import dating, has_faults
from projections.views.snapshot import Snapshot

BUCKETS_MAX = 300
BUCKET_LENGTHS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60, 240))
"""The possible lengths of a bucket; the shortest that needs at most `BUCKETS_MAX` is used."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Bucket(NamedTuple):
    """A span of time that begins at `at`. It counts root jobs, and the bytes of all jobs.

    Bytes are as reported: a copy that takes less than a second reports none. `running` is how many
    ran at the end of the span; in the last bucket, how many run now.
    """

    at: datetime
    created: int
    success: int
    failed: int
    cancelled: int
    running: int
    copied_bytes: int


class Activity(NamedTuple):
    """Buckets of one length without gaps, oldest first."""

    length: timedelta
    buckets: list[Bucket]


def read_activity(snapshot: Snapshot, owner: str, now: datetime, span: timedelta) -> Activity:
    """Return what happened in the span that ends now; the first bucket is whole."""
    length = next(each for each in BUCKET_LENGTHS if span <= each * BUCKETS_MAX)
    first, last = _start_of(now - span, length), _start_of(now, length)
    starts = [first + number * length for number in range((last - first) // length + 1)]
    counts = _count(snapshot, sorted(_changes(snapshot, owner, first)), starts, length)
    return Activity(length, _buckets(starts, counts, _count_running(snapshot, owner)))


def _start_of(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % length


_Change = tuple[int, int, str, int]
"""The position and stamp of an event of a job; of which kind it is, and for how much it counts."""
_Counts = Counter[tuple[str, int]]
"""How often each thing happened in each bucket."""


def _changes(snapshot: Snapshot, owner: str, since: datetime) -> Iterator[_Change]:
    """Yield how jobs began and ended, at least all that happened since."""
    rows = snapshot.lives(owner, timestamp(_floor(snapshot, since)))
    for is_root, state, created, first, last_modified, last, bytes_total in rows:
        if first is None or last is None:
            continue  # it has lost its first event, and counts as gone
        if is_root:
            yield first, microseconds(datetime.fromisoformat(created)), "created", 1
        if state != "started":
            ended = microseconds(datetime.fromisoformat(last_modified))
            if is_root:
                yield last, ended, state, 1
            if state == "success" and bytes_total > 0:
                yield last, ended, "bytes", bytes_total


def _floor(snapshot: Snapshot, since: datetime) -> datetime:
    """Return the earliest stamp that an event may have which was recorded since then."""
    return _EPOCH if has_faults(snapshot.cursor, since - DISORDER) else since - DISORDER


def _count(
    snapshot: Snapshot, changes: list[_Change], starts: list[datetime], length: timedelta
) -> _Counts:
    """Count changes in the order of their positions: no moment is before that of an earlier one.

    What came while the answer is made is in the last bucket.
    """
    counts: _Counts = Counter()
    if not changes:
        return counts
    dated = dating(snapshot.cursor, changes[0][0], changes[-1][0])
    begin, each = microseconds(starts[0]), length // _MICROSECOND
    latest = 0
    for position, stamp, what, number in changes:
        latest = max(latest, dated.moment(position, stamp))
        counts[what, min((latest - begin) // each, len(starts) - 1)] += number
    return counts


def _buckets(starts: list[datetime], counts: _Counts, running: int) -> list[Bucket]:
    """Return the buckets, counted back from what runs now."""
    found: list[Bucket] = []
    for number, at in reversed([*enumerate(starts)]):
        created, success, failed, cancelled, copied = (
            counts[what, number] for what in ("created", "success", "failed", "cancelled", "bytes")
        )
        found.append(Bucket(at, created, success, failed, cancelled, running, copied))
        running += success + failed + cancelled - created
    return found[::-1]


def _count_running(snapshot: Snapshot, owner: str) -> int:
    ((_, _, running),) = snapshot.count_by(
        "SELECT 'running', '', count(*) FROM jobs_g{g}"
        " WHERE owner = ? AND state = 'started' AND parent IS NULL",
        (owner,),
    )
    return running
