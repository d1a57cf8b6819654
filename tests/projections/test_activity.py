"""What an account's jobs did over time: always what a plain count of its jobs says."""

import itertools
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.store.tables.stamps import date_stored
from projections.views.activity import BUCKETS_MAX, Bucket, _begins, read_activity
from projections.views.jobs import Life
from projections.views.snapshot import Snapshot
from tests.support.opened import Opened, behind_its_back, stamped_by
from tests.support.world import ME, SOMEBODY_ELSE, START

DAYS = 3
SIZE = 1000


class Told(NamedTuple):
    """A job of the story: when it begins and ends, in minutes from the start, and how."""

    owner: str
    begins: int
    ends: int | None
    well: bool


MINUTES = st.integers(0, DAYS * 24 * 60)
JOBS = st.builds(
    lambda owner, begins, lasts, well: Told(
        owner, begins, None if lasts is None else begins + lasts, well
    ),
    st.sampled_from([ME, ME, SOMEBODY_ELSE]),
    MINUTES,
    st.none() | MINUTES,
    st.booleans(),
)


def happened(jobs: list[Told], file: Path) -> Opened:
    """A ledger in which they began and ended in their order."""
    clock = [START]
    opened = Opened(file, now=lambda: clock[0])
    steps = [(job.begins, 0, nth) for nth, job in enumerate(jobs)]
    steps += [(job.ends, 1, nth) for nth, job in enumerate(jobs) if job.ends is not None]
    for minute, is_end, nth in sorted(steps):
        clock[0] = START + timedelta(minutes=minute)
        uuid, job = f"job-{nth}", jobs[nth]
        if not is_end:
            opened.do(CreateJob(job.owner, uuid, "drive_clone", (), None))
            opened.do(StartAttempt(uuid, 1, "test"))
        else:
            opened.do(UpdateProgress(uuid, 1, 50, SIZE, SIZE, SIZE))
            opened.do(SucceedJob(uuid, 1) if job.well else FailJob(uuid, 1, "disk on fire"))
    return opened


def counted(jobs: list[Told], at: datetime, length: timedelta) -> Bucket:
    """The bucket, counted job by job."""

    def within(minute: int | None) -> bool:
        return minute is not None and at <= START + timedelta(minutes=minute) < at + length

    mine = [job for job in jobs if job.owner == ME]
    ended = [job for job in mine if within(job.ends)]
    end = at + length
    running = [
        job
        for job in mine
        if START + timedelta(minutes=job.begins) < end
        and (job.ends is None or START + timedelta(minutes=job.ends) >= end)
    ]
    success = sum(job.well for job in ended)
    return Bucket(
        at,
        sum(within(job.begins) for job in mine),
        success,
        len(ended) - success,
        0,
        len(running),
        round(sum(copied(job, at, end) for job in mine)),
    )


def copied(job: Told, begin: datetime, end: datetime) -> float:
    """Return what the job copied in that time: it was as fast from its beginning to its end."""
    if job.ends is None:
        return 0
    first, last = (START + timedelta(minutes=minute) for minute in (job.begins, job.ends))
    if first == last:
        return SIZE if begin <= last < end else 0
    within = min(end, last) - max(begin, first)
    return SIZE * max(0.0, within / (last - first))


@given(jobs=st.lists(JOBS, max_size=12), hours=st.integers(1, DAYS * 48))
def test_each_bucket_has_what_happened_in_it(jobs: list[Told], hours: int) -> None:
    """Of the account's own jobs; running are those that had begun and not ended at its end.

    What they copied counts when they copied it, whether they succeeded or not.
    """
    now = START + timedelta(days=2 * DAYS)
    with (
        tempfile.TemporaryDirectory() as directory,
        happened(jobs, Path(directory) / "ledger.sqlite") as opened,
        opened.views.snapshot() as snapshot,
    ):
        told = read_activity(snapshot, ME, now, timedelta(hours=hours))
    expected = [counted(jobs, bucket.at, told.length) for bucket in told.buckets]
    assert [bucket[:-1] for bucket in told.buckets] == [bucket[:-1] for bucket in expected]
    for bucket, right in zip(told.buckets, expected, strict=True):
        assert abs(bucket.copied_bytes - right.copied_bytes) <= len(jobs) + 1


def test_a_job_that_has_lost_its_first_event_does_not_count(tmp_path: Path) -> None:
    """Nor does it keep the others from being counted."""
    jobs = [Told(ME, minute, minute + 1, well=True) for minute in (1, 2)]
    file = tmp_path / "ledger.sqlite"
    with happened(jobs, file) as opened:
        with behind_its_back(file) as connection:
            connection.execute(
                "DELETE FROM stored_events"
                " WHERE originator_id = 'job-job-0' AND originator_version = 1"
            )
        with opened.views.snapshot() as snapshot:
            told = read_activity(snapshot, ME, START + timedelta(hours=1), timedelta(hours=2))
    assert sum(bucket.created for bucket in told.buckets) == 1
    assert sum(bucket.success for bucket in told.buckets) == 1


def recorded_by_wrong_clocks(file: Path, stamps: Iterator[datetime], jobs: int) -> Opened:
    """Return a ledger of an earlier version: jobs begin, and every second one ends."""
    opened = Opened(file, now=lambda: START)
    stamped_by(opened, lambda: next(stamps))
    for number in range(jobs):
        opened.do(CreateJob(ME, f"job-{number}", "x"))
        if number % 2:
            opened.do(StartAttempt(f"job-{number}", 1, "w"), SucceedJob(f"job-{number}", 1))
    opened.ledger.exclusive(lambda c: date_stored(c, START + timedelta(days=9))).result()
    return opened


@given(minutes=st.lists(st.integers(-6_000, 6_000), min_size=16, max_size=16))
def test_no_clock_makes_a_count_negative(minutes: list[int]) -> None:
    """Whatever the stamps are, each job began before it ended, and runs in between."""
    stamps = (START + timedelta(minutes=minute) for minute in minutes)
    with (
        tempfile.TemporaryDirectory() as directory,
        recorded_by_wrong_clocks(Path(directory) / "ledger.sqlite", stamps, 8) as opened,
        opened.views.snapshot() as snapshot,
    ):
        told = read_activity(snapshot, ME, START + timedelta(days=9), timedelta(days=20))
    assert all(bucket.running >= 0 for bucket in told.buckets)
    assert sum(bucket.created for bucket in told.buckets) == 8
    assert sum(bucket.success for bucket in told.buckets) == 4
    assert told.buckets[-1].running == 4


@pytest.mark.parametrize("hours", [-96, -2, 2, 96])
@pytest.mark.parametrize("event", [8, 9, 11])
@pytest.mark.thorough
def test_what_a_wrong_clock_stamped_counts_when_it_was_recorded(
    tmp_path: Path, hours: int, event: int
) -> None:
    """The creation of a job that runs, of one that has ended, or its end; the others are right."""
    right = [START + timedelta(minutes=number) for number in range(80)]
    wrong = list(right)
    wrong[event] += timedelta(hours=hours)
    told = []
    for name, stamps in (("right", right), ("wrong", wrong)):
        with (
            recorded_by_wrong_clocks(tmp_path / name, iter(stamps), 40) as opened,
            opened.views.snapshot() as snapshot,
        ):
            now = START + timedelta(hours=2)
            told.append(read_activity(snapshot, ME, now, timedelta(hours=48)))
    assert told[0].buckets == told[1].buckets


@pytest.mark.parametrize("hours", [1, 2, 5, 6, 24, 25, 168, 720])
def test_buckets_have_no_gap(tmp_path: Path, hours: int) -> None:
    """From the whole one in which the time begins to the one in which it ends; few enough."""
    now = START + timedelta(days=60)
    with Opened(tmp_path / "ledger.sqlite") as opened, opened.views.snapshot() as snapshot:
        told = read_activity(snapshot, ME, now, timedelta(hours=hours))
    starts = [bucket.at for bucket in told.buckets]
    assert {later - earlier for earlier, later in itertools.pairwise(starts)} == {told.length}
    assert starts[0] <= now - timedelta(hours=hours) < starts[0] + told.length
    assert starts[-1] <= now < starts[-1] + told.length
    assert len(starts) <= BUCKETS_MAX + 1


def test_what_was_copied_counts_when_it_was_copied(tmp_path: Path) -> None:
    """A job of an hour in each minute of it; one of a moment and one that runs count, too."""
    moment = [START]
    with Opened(tmp_path / "ledger.sqlite", now=lambda: moment[0]) as opened:
        for job in ("hour", "runs"):
            opened.do(CreateJob(ME, job, "x"), StartAttempt(job, 1, "w"))
        moment[0] += timedelta(hours=1)
        for job, done in (("hour", 6000), ("runs", 600)):
            opened.do(UpdateProgress(job, 1, 50, done, 6000, done))
        opened.do(SucceedJob("hour", 1))
        opened.do(CreateJob(ME, "quick", "x"), StartAttempt("quick", 1, "w"))
        opened.do(UpdateProgress("quick", 1, 99, 70, 70, 70), SucceedJob("quick", 1))
        with opened.views.snapshot() as snapshot:
            told = read_activity(snapshot, ME, moment[0], timedelta(hours=1))
    copied = [bucket.copied_bytes for bucket in told.buckets]
    assert sum(copied) == 6670
    assert copied[1:60] == [110] * 59


def test_what_an_earlier_attempt_copied_counts_too(tmp_path: Path) -> None:
    """When its next attempt began: nobody knows more exactly."""
    moment = [START]
    with Opened(tmp_path / "ledger.sqlite", now=lambda: moment[0]) as opened:
        opened.do(CreateJob(ME, "job", "x"), StartAttempt("job", 1, "w"))
        opened.do(UpdateProgress("job", 1, 50, 500, 1000, 500))
        moment[0] += timedelta(minutes=10)
        opened.do(StartAttempt("job", 2, "w"))
        moment[0] += timedelta(minutes=10)
        opened.do(UpdateProgress("job", 2, 60, 600, 1000, 600))
        with opened.views.snapshot() as snapshot:
            told = read_activity(snapshot, ME, moment[0], timedelta(minutes=30))
    copied = [bucket.copied_bytes for bucket in told.buckets]
    assert sum(copied) == 600
    assert 500 <= copied[-11] <= 511
    assert copied[-5] == 10


def test_sub_jobs_are_not_counted_twice(tmp_path: Path) -> None:
    """A tree counts as one job; what its sub-jobs copied counts once."""
    with Opened(tmp_path / "ledger.sqlite") as opened:
        opened.do(
            CreateJob(ME, "root", "server_clone", (), None),
            CreateJob(ME, "one", "drive_clone", (), "root"),
            CreateJob(ME, "two", "drive_clone", (), "root"),
        )
        for job in ("one", "two"):
            opened.do(StartAttempt(job, 1, "test"), UpdateProgress(job, 1, 50, SIZE, SIZE, SIZE))
            opened.do(SucceedJob(job, 1))
        now = START + timedelta(minutes=1)
        with opened.views.snapshot() as snapshot:
            told = read_activity(snapshot, ME, now, timedelta(hours=1))
    totals = [sum(column) for column in zip(*(bucket[1:] for bucket in told.buckets), strict=True)]
    assert totals == [1, 1, 0, 0, 0, 2 * SIZE]


@given(st.lists(st.integers(-1, 4)), st.randoms(use_true_random=False))
def test_no_change_is_dated_before_an_earlier_one(alone: list[int], chance: Random) -> None:
    """Its bucket is the latest of all changes up to it, in whatever order they are read."""
    changes = [(bucket, position) for position, bucket in enumerate(alone, 1)]
    latest = list(itertools.accumulate(alone, max))
    chance.shuffle(changes)
    begins = _begins(changes, 5)
    assert [bisect_right(begins, position) - 2 for position in range(1, len(alone) + 1)] == latest


def test_no_job_is_kept_while_they_are_counted(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are."""

    alive = most = 0

    class Row(Life):
        """A job that tells when it is kept no longer."""

        __slots__ = ()

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    lives = Snapshot.lives

    def watched(*given: Any) -> Iterator[Any]:
        nonlocal alive, most
        for life in lives(*given):
            alive += 1
            most = max(most, alive)
            yield Row(*life)

    monkeypatch.setattr(Snapshot, "lives", watched)
    opened.do(*(CreateJob(ME, f"j{nth}", "x") for nth in range(30)))
    with opened.snapshot() as snapshot:
        activity = read_activity(snapshot, ME, START + timedelta(days=1), timedelta(days=2))
    assert sum(bucket.created for bucket in activity.buckets) == 30
    assert most <= 3
