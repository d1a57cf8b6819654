"""What an account's jobs did over time: how many began, ended and ran, and how much was copied.

Only jobs that are still stored count. They are counted in the order of their positions, whatever
the clocks showed: a job has always begun before it ended.
"""

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from ledger.domain.stamps import DISORDER, EPOCH, MICROSECOND, microseconds
from ledger.store.parameters import timestamp
from ledger.store.tables.stamps import dating, has_faults
from projections.views.jobs import Life
from projections.views.snapshot import Snapshot

BUCKETS_MAX = 300
BUCKET_LENGTHS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60, 240))
"""The possible lengths of a bucket; the shortest that needs at most `BUCKETS_MAX` is used."""


class Bucket(NamedTuple):
    """A span of time that begins at `at`. It counts root jobs, and the bytes of all jobs.

    Bytes count when they were copied, whatever became of the job: those of an attempt are spread
    evenly over its time. `running` is how many ran at the end of the span; in the last bucket, how
    many run now.
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
    counts = _count(snapshot, owner, starts, length)
    return Activity(length, _buckets(starts, counts, snapshot.count_running_roots(owner)))


def _start_of(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - EPOCH) % length


class _Change(NamedTuple):
    """An event of a job: its position and stamp, what it is, and for how much it counts.

    What took a while ended `ago` before the event and had `lasted` by then, in microseconds.
    """

    position: int
    stamp: int
    what: str
    number: int = 1
    ago: int = 0
    lasted: int = 0


_Counts = Counter[tuple[str, int]]
"""How often each thing happened in each bucket."""


def _changes(snapshot: Snapshot, owner: str, since: datetime) -> Iterator[_Change]:
    """Yield how jobs began and ended and what they copied since then, maybe more, in no order."""
    for life in snapshot.lives(owner, timestamp(_floor(snapshot, since))):
        if life.first is None or life.last is None:
            continue  # it has lost its first event, and counts as gone
        if life.is_root:
            yield _Change(life.first, _stamp(life.created), "created")
        if life.is_root and life.state != "started":
            yield _Change(life.last, _stamp(life.last_stamp), life.state)
        if life.began is not None and life.reported is not None:
            yield from _copies(life, life.last, life.began, life.copied or life.reported)


def _copies(life: Life, position: int, began: str, ended: str) -> Iterator[_Change]:
    """Yield what was copied from `began` to `ended`, and what earlier attempts had copied.

    Both are told by their distance from the last event, whose moment is known.
    """
    stamp = _stamp(life.last_stamp)
    ago, lasted = max(0, stamp - _stamp(ended)), max(0, _stamp(ended) - _stamp(began))
    if life.bytes_before:
        yield _Change(position, stamp, "bytes", life.bytes_before, ago + lasted)
    moved = life.bytes_done - life.bytes_before
    if moved:
        yield _Change(position, stamp, "bytes", moved, ago, lasted)


def _stamp(iso: str) -> int:
    return microseconds(datetime.fromisoformat(iso))


def _floor(snapshot: Snapshot, since: datetime) -> datetime:
    """Return the earliest stamp that an event may have which was recorded since then."""
    return EPOCH if has_faults(snapshot.cursor, since - DISORDER) else since - DISORDER


def _count(snapshot: Snapshot, owner: str, starts: list[datetime], length: timedelta) -> _Counts:
    """Count changes in the order of their positions: no moment is before that of an earlier one.

    They are read twice, in no order, and none is kept: first to find where each bucket begins.
    """
    first, each = microseconds(starts[0]), length // MICROSECOND
    dated = dating(snapshot.cursor, 0, sys.maxsize)

    def moment(change: _Change) -> int:
        """Return the moment of a change alone, as time since the first bucket began."""
        return dated.moment(change.position, change.stamp) - first

    def bucket(change: _Change) -> int:
        """Return its bucket, or -1 if it is before all; what comes meanwhile is in the last one."""
        return min(max(moment(change) // each, -1), len(starts) - 1)

    changes = partial(_changes, snapshot, owner, starts[0])
    begins = _begins(((bucket(each), each.position) for each in changes()), len(starts))
    counts: _Counts = Counter()
    for change in changes():
        number = bisect_right(begins, change.position) - 2
        within = min(max(moment(change), number * each), (number + 1) * each - 1)
        for number, count in _spread(change, within - change.ago, each):
            counts[change.what, number] += count
    return counts


def _spread(change: _Change, end: int, each: int) -> Iterator[tuple[int, int]]:
    """Spread a change evenly over the buckets up to where it ended, all of it in the end.

    What belongs before the first bucket is left out.
    """
    begin, last, spread = end - change.lasted, end // each, 0
    if begin < 0 < change.lasted:
        spread = change.number * (min(end, 0) - begin) // change.lasted
    for number in range(max(0, begin // each), last):
        until = change.number * ((number + 1) * each - begin) // change.lasted
        yield number, until - spread
        spread = until
    yield last, change.number - spread


def _begins(changes: Iterable[tuple[int, int]], buckets: int) -> list[int]:
    """Return the positions from which changes are in each bucket, or in a later one.

    The first position is of what comes before all buckets.
    """
    begins = [sys.maxsize] * (buckets + 1)
    for number, position in changes:
        begins[number + 1] = min(begins[number + 1], position)
    return list(accumulate(reversed(begins), min))[::-1]


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
