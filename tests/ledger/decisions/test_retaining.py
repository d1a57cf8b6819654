"""Decisions about the ledger itself: the retention policy, sweeps, archives and parked streams."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS
from ledger.domain.commands.housekeeping import (
    DiscardJobs,
    ParkStream,
    RecordArchive,
    RecordCompaction,
    ReleaseStream,
    SetRetention,
)
from ledger.domain.commands.jobs import CancelJob, CreateJob, StartAttempt, SucceedJob
from ledger.domain.context import Discarded, Fact
from ledger.domain.errors.housekeeping import (
    KeepLastOutOfRange,
    KeepOutOfRange,
    NotDue,
    NotParked,
    NotReleased,
)
from ledger.domain.events import Recorded
from ledger.domain.events.housekeeping import (
    ArchiveWritten,
    DiscardedTree,
    JobsDiscarded,
    LedgerCompacted,
    RetentionPolicySet,
    StreamParked,
    StreamReleased,
)
from ledger.domain.events.jobs import JobCancelled, JobCreated, JobSucceeded
from ledger.store.seam import RowKey
from tests.support.deciding import given
from tests.support.world import ME, START

POLICY = "policy-retention"
KEEP, KEEP_LAST = DEFAULT_TERMS
CUTOFF = START - KEEP
LONG_AGO = CUTOFF - timedelta(days=1)
TICK = timedelta(microseconds=1)

ENDED = (
    CreateJob(ME, "root", "x"),
    CreateJob(ME, "below", "x", parent="root"),
    StartAttempt("below", 1, "w"),
    SucceedJob("below", 1),
)
TREE = DiscardedTree(ME, ("root", "below"), LONG_AGO)
ROWS: tuple[RowKey, ...] = (("jobs", ("root",)), ("jobs", ("below",)))

OWNERS = {"root": ME, "below": ME}


def discard(
    *trees: DiscardedTree,
    streams: tuple[str, ...] = (),
    unread: tuple[str, ...] = (),
    keep: timedelta = KEEP,
    keep_last: int = KEEP_LAST,
    last: bool = False,
) -> DiscardJobs:
    guards = tuple(0 for _ in trees)
    return DiscardJobs(
        "1", keep, START - keep, 7, trees, streams, ROWS, unread, last, guards, keep_last
    )


def discarded(
    *trees: DiscardedTree, streams: tuple[str, ...] = (), last: bool = False
) -> JobsDiscarded:
    return JobsDiscarded(KEEP, CUTOFF, 7, trees, streams, last)


# The policy


def test_a_policy_takes_effect_at_once() -> None:
    """The default is none that was set."""
    given().when(SetRetention(KEEP)).then(Fact(POLICY, RetentionPolicySet(KEEP, START, 20)))


def test_a_policy_in_force_is_not_set_again() -> None:
    given(SetRetention(KEEP)).when(SetRetention(KEEP)).then()


def test_a_policy_takes_effect_at_once_even_after_one_set_in_the_future() -> None:
    """By a clock that was ahead: the one that was set last counts."""
    later = START + timedelta(days=1)
    given(Fact(POLICY, RetentionPolicySet(timedelta(days=9), later))).when(
        SetRetention(timedelta(days=5))
    ).then(Fact(POLICY, RetentionPolicySet(timedelta(days=5), START, 20)))


def test_a_policy_keeps_as_many_of_each_series_as_it_says() -> None:
    """One that does not say so keeps as many as the one before; one of version 1 keeps none."""
    given().when(SetRetention(KEEP, 5)).then(Fact(POLICY, RetentionPolicySet(KEEP, START, 5)))
    given(SetRetention(KEEP, 5)).when(SetRetention(KEEP)).then()
    given(SetRetention(KEEP, 5)).when(SetRetention(KEEP, 6)).then(
        Fact(POLICY, RetentionPolicySet(KEEP, START, 6))
    )
    days = timedelta(days=5)
    given(Fact(POLICY, RetentionPolicySet(KEEP, START))).when(SetRetention(days)).then(
        Fact(POLICY, RetentionPolicySet(days, START, 0))
    )


@pytest.mark.parametrize(
    ("count", "is_fine"), [(-1, False), (0, True), (1_000, True), (1_001, False)]
)
def test_only_so_many_of_a_series_can_be_kept(count: int, *, is_fine: bool) -> None:
    """Each plan counts them."""
    tried = given().when(SetRetention(KEEP, count))
    if is_fine:
        assert tried.refusal is None
    else:
        tried.then_refused(KeepLastOutOfRange, "0 to 1000 jobs")


@pytest.mark.parametrize("keep", [timedelta(0), timedelta(days=36_525)])
def test_jobs_may_be_kept_for_a_century_or_not_at_all(keep: timedelta) -> None:
    assert given().when(SetRetention(keep)).refusal is None


@pytest.mark.parametrize("keep", [-TICK, timedelta(days=36_525) + TICK])
def test_jobs_cannot_be_kept_for_less_or_longer(keep: timedelta) -> None:
    given().when(SetRetention(keep)).then_refused(KeepOutOfRange, "36525 days")


# Discarding


def test_a_tree_that_has_ended_is_discarded() -> None:
    """With all rows, and with the streams that nobody names any more."""
    given(ENDED).when(discard(TREE, streams=("drive-d",))).then(
        Fact("sweep-1", discarded(TREE, streams=("drive-d",))),
        Discarded(("job-root", "job-below", "drive-d"), ROWS, OWNERS),
    )


def test_a_sweep_continues_until_it_has_ended() -> None:
    """What comes after the last is a fault of the program."""
    begun = given(ENDED, discard(TREE))
    begun.when(discard(last=True)).then(Fact("sweep-1", discarded(last=True)), Discarded((), ROWS))
    with pytest.raises(AssertionError, match="sweep-1 is over"):
        given(ENDED, discard(TREE, last=True)).when(discard(last=True))


@pytest.mark.parametrize(
    ("history", "jobs"),
    [
        ((), ("never",)),
        ((CreateJob(ME, "root", "x"),), ("root",)),
        (ENDED[:2], ("root", "below")),
        (ENDED, ("below", "root")),
        ((*ENDED[:2], CreateJob(ME, "second", "x", parent="root"), *ENDED[2:]), ("root", "below")),
        (ENDED, ("root",)),
        (ENDED, ("root", "root")),
        ((*ENDED, CreateJob(ME, "else", "x"), CancelJob(ME, "else")), ("root", "else")),
    ],
    ids=[
        "never was",
        "runs",
        "runs below",
        "no root",
        "another runs below",
        "ended, left out",
        "twice",
        "another tree",
    ],
)
def test_a_running_tree_is_never_discarded(
    history: Sequence[object], jobs: tuple[str, ...]
) -> None:
    """Nor is anything else that is to go with it."""
    cancelled = CreateJob(ME, "over", "x"), CancelJob(ME, "over")
    over = DiscardedTree(ME, ("over",), LONG_AGO)
    given(cancelled, history).when(discard(over, DiscardedTree(ME, jobs, LONG_AGO))).then_refused(
        NotDue, f"job {jobs[0]} is not due"
    )


@pytest.mark.parametrize("jobs", [("root", "below"), ("root",)])
def test_a_tree_runs_as_long_as_any_job_in_it(jobs: tuple[str, ...]) -> None:
    """Its root may have ended before, and a plan may even leave out what still runs."""
    history = given(ENDED[:2])
    history.world.stage("job-root", Recorded(START, "test", "", JobSucceeded()))
    history.when(discard(DiscardedTree(ME, jobs, LONG_AGO))).then_refused(NotDue, "job root")


def test_a_tree_that_ended_at_the_cutoff_stays() -> None:
    """Before it, it goes."""
    at_cutoff = DiscardedTree(ME, TREE.jobs, CUTOFF)
    given(ENDED).when(discard(at_cutoff)).then_refused(NotDue, "job root is not due")
    assert given(ENDED).when(discard(DiscardedTree(ME, TREE.jobs, CUTOFF - TICK))).refusal is None


def test_a_plan_by_another_policy_is_refused() -> None:
    """By one that held before, or a cutoff that lies too late."""
    refused = given(ENDED, SetRetention(timedelta(days=9))).when(discard(TREE))
    refused.then_refused(NotDue, "9 days")
    early = replace(discard(TREE), cutoff=CUTOFF + TICK)
    given(ENDED).when(early).then_refused(NotDue, "3 days")
    given(ENDED).when(discard(TREE, keep_last=19)).then_refused(NotDue, "3 days")


# What cannot be read


PARKED = StreamParked("job-root", "sweep", "no JSON")
PARK = ParkStream("job-root", "sweep", "no JSON")


def test_a_stream_is_parked_once() -> None:
    """And again after it was released."""
    given().when(PARK).then(Fact("parking-job-root", PARKED))
    given(PARK).when(PARK).then()
    given(PARK, ReleaseStream("job-root", skip=False)).when(PARK).then(
        Fact("parking-job-root", PARKED)
    )


@pytest.mark.parametrize("skip", [True, False])
def test_a_parked_stream_is_released(*, skip: bool) -> None:
    given(PARK).when(ReleaseStream("job-root", skip)).then(
        Fact("parking-job-root", StreamReleased(skip))
    )


@pytest.mark.parametrize("skip", [True, False])
def test_only_a_parked_stream_can_be_released(*, skip: bool) -> None:
    """It never was, or was released before."""
    release = ReleaseStream("job-root", skip)
    given().when(release).then_refused(NotParked, "job-root is not parked")
    given(PARK, release).when(release).then_refused(NotParked, "job-root is not parked")


def test_a_skipped_stream_may_be_discarded_unread() -> None:
    """What it says is not looked at, nor whether more was below it; the others must have ended."""
    skipped = given(
        Fact("job-below", JobCreated("x", ME, (), "root", "root")),
        Fact("job-below", JobCancelled()),
        (PARK, ReleaseStream("job-root", skip=True)),
    )
    skipped.when(discard(TREE, unread=("job-root",))).then(
        Fact("sweep-1", discarded(TREE)), Discarded(("job-root", "job-below"), ROWS, OWNERS)
    )


@pytest.mark.parametrize("history", [(), (PARK,), (PARK, ReleaseStream("job-root", skip=False))])
def test_no_other_stream_may_be_discarded_unread(history: Sequence[object]) -> None:
    """Not even what has ended."""
    given(ENDED, history).when(discard(TREE, unread=("job-root",))).then_refused(
        NotReleased, "job-root was not released to be discarded unread"
    )


# Archives


WRITTEN = ArchiveWritten("a", "00", 5, 1, 9, ("1",))


def test_an_archive_is_recorded_and_then_that_its_events_are_gone() -> None:
    """Once each."""
    swept = (ENDED, discard(TREE, last=True))
    given(swept).when(RecordArchive("c", WRITTEN)).then(Fact("compaction-c", WRITTEN))
    recorded = (swept, RecordArchive("c", WRITTEN))
    given(recorded).when(RecordCompaction("c", 5)).then(Fact("compaction-c", LedgerCompacted(5)))
    with pytest.raises(AssertionError, match="compaction-c is over"):
        given(recorded, RecordCompaction("c", 5)).when(RecordCompaction("c", 5))


def test_an_empty_archive_is_a_bug() -> None:
    """So is a compaction without an archive."""
    with pytest.raises(AssertionError, match="there is no sweep 1"):
        given().when(RecordArchive("c", WRITTEN))
    with pytest.raises(AssertionError, match="compaction-c has no archive"):
        given().when(RecordCompaction("c", 5))
