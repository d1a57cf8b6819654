"""What an account's jobs did over time: how many began, ended and ran, and how much was copied.

It is told of the jobs that are kept. Stamps say when, so a clock that was set back shows here.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from projections.rows import timestamp
from projections.views.snapshot import Snapshot

BUCKETS_MOST = 300
LENGTHS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60, 240))
"""How long a bucket may be: the shortest of which there are not too many."""
MINUTE = len("2026-04-17T08:15")
"""So much of a stamp says in which minute it is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Bucket(NamedTuple):
    """A time that begins at `at`. Jobs at the root of their tree are counted, bytes of all jobs.

    Bytes are what was reported: a copy that takes less than a second reports none.
    `running` is how many of them ran at its end; or run now, in the last one.
    """

    at: datetime
    created: int
    success: int
    failed: int
    cancelled: int
    running: int
    copied_bytes: int


class Activity(NamedTuple):
    """Buckets of one length, without a gap, the oldest first."""

    length: timedelta
    buckets: list[Bucket]


def activity(snapshot: Snapshot, owner: str, now: datetime, span: timedelta) -> Activity:
    """What happened from so long ago until now; the first bucket is a whole one."""
    length = next(each for each in LENGTHS if span <= each * BUCKETS_MOST)
    first, last = _beginning(now - span, length), _beginning(now, length)
    counted = _Counted(length)
    for what, minute, number in _by_minute(snapshot, owner, first):
        counted.add(what, datetime.fromisoformat(minute).replace(tzinfo=UTC), number)
    starts = [first + nth * length for nth in range((last - first) // length + 1)]
    return Activity(length, counted.buckets(starts, _running(snapshot, owner)))


def _beginning(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % length


class _Counted:
    """How often what happened in which bucket."""

    def __init__(self, length: timedelta) -> None:
        self._length = length
        self._counts: Counter[tuple[str, datetime]] = Counter()

    def add(self, what: str, minute: datetime, number: int) -> None:
        self._counts[what, _beginning(minute, self._length)] += number

    def buckets(self, starts: Sequence[datetime], running: int) -> list[Bucket]:
        """From what runs now back to what ran before all that began and ended since."""
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
    """What happened since, in which minute, how often."""
    since = timestamp(first)
    mine = "owner = ? AND last_modified >= ?"
    ended = f"substr(last_modified, 1, {MINUTE})"
    began = f"substr(created, 1, {MINUTE})"
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


def _running(snapshot: Snapshot, owner: str) -> int:
    ((_, _, running),) = snapshot.count_by(
        "SELECT 'running', '', count(*) FROM jobs_g{g}"
        " WHERE owner = ? AND state = 'started' AND parent IS NULL",
        (owner,),
    )
    return running
