"""What an account's jobs did over time: how many began, ended and ran, and how much was copied.

Only jobs that are still stored count. Timestamps decide, so the answer shows when a clock was set
back.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ledger.store.parameters import timestamp
from projections.views.snapshot import Snapshot

BUCKETS_MAX = 300
BUCKET_LENGTHS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60, 240))
"""The possible lengths of a bucket; the shortest that needs at most `BUCKETS_MAX` is used."""
MINUTE_CHARS = len("2026-04-17T08:15")
"""The length of the part of a timestamp that names its minute."""

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
    counts = _BucketCounts(length)
    for what, minute, number in _by_minute(snapshot, owner, first):
        counts.add(what, datetime.fromisoformat(minute).replace(tzinfo=UTC), number)
    starts = [first + number * length for number in range((last - first) // length + 1)]
    return Activity(length, counts.buckets(starts, _count_running(snapshot, owner)))


def _start_of(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % length


class _BucketCounts:
    """How often each thing happened in each bucket."""

    def __init__(self, length: timedelta) -> None:
        self._length = length
        self._counts: Counter[tuple[str, datetime]] = Counter()

    def add(self, what: str, minute: datetime, number: int) -> None:
        self._counts[what, _start_of(minute, self._length)] += number

    def buckets(self, starts: Sequence[datetime], running: int) -> list[Bucket]:
        """Return the buckets, counted back from what runs now."""
        found: list[Bucket] = []
        for at in reversed(starts):
            created, success, failed, cancelled, copied = (
                self._counts[what, at]
                for what in ("created", "success", "failed", "cancelled", "bytes")
            )
            found.append(Bucket(at, created, success, failed, cancelled, running, copied))
            running += success + failed + cancelled - created
        return found[::-1]


def _by_minute(snapshot: Snapshot, owner: str, first: datetime) -> list[tuple[str, str, int]]:
    """Return what happened since then, in which minute, and how often."""
    since = timestamp(first)
    mine = "owner = ? AND last_modified >= ?"
    ended = f"substr(last_modified, 1, {MINUTE_CHARS})"
    began = f"substr(created, 1, {MINUTE_CHARS})"
    return [
        *snapshot.count_by(
            f"SELECT state, {ended}, count(*) FROM jobs_g{{g}} WHERE {mine}"
            f" AND parent IS NULL AND state <> 'started' GROUP BY state, {ended}",
            (owner, since),
        ),
        *snapshot.count_by(
            f"SELECT 'created', {began}, count(*) FROM jobs_g{{g}} WHERE {mine}"
            f" AND parent IS NULL AND created >= ? GROUP BY {began}",
            (owner, since, since),
        ),
        *snapshot.count_by(
            f"SELECT 'bytes', {ended}, sum(bytes_total) FROM jobs_g{{g}} WHERE {mine}"
            f" AND state = 'success' AND bytes_total > 0 GROUP BY {ended}",
            (owner, since),
        ),
    ]


def _count_running(snapshot: Snapshot, owner: str) -> int:
    ((_, _, running),) = snapshot.count_by(
        "SELECT 'running', '', count(*) FROM jobs_g{g}"
        " WHERE owner = ? AND state = 'started' AND parent IS NULL",
        (owner,),
    )
    return running
