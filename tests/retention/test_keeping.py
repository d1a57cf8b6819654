"""Retention at work, on a real ledger with its archives."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS
from ledger.domain.commands.drives import CloneDrive, CreateDrives, DeleteDrives, NewDrive
from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob
from ledger.domain.errors.housekeeping import KeepOutOfRange, NotDue
from ledger.domain.events.housekeeping import RetentionPolicySet
from ledger.store.seam import Log
from projections.maintenance.rebuild import AlreadyRebuilding, rebuild
from projections.maintenance.retention.plan import plan_as_of, plan_of
from projections.maintenance.retention.service import ClockMoved, PlanChanged, RetentionBusy
from projections.maintenance.retention.sweep import Swept, sweep
from projections.streams import policy_of
from tests.retention.conftest import Clock
from tests.retention.telling import DAYS, check, clone, drive, family, jobs, streams
from tests.support.opened import behind_its_back
from tests.support.retained import Retained
from tests.support.story import STORY
from tests.support.turns import taken
from tests.support.world import ME, disk


def test_a_job_goes_three_days_after_its_end(kept: Retained, clock: Clock) -> None:
    """Not before; by the end, not by the beginning."""
    drive(kept, "d")
    kept.do(CloneDrive(ME, "d", "copy", "job"), StartAttempt("job", 1, "w"))
    clock.advance(days=10)
    kept.do(SucceedJob("job", 1))
    clock.advance(days=DAYS, seconds=-1)
    assert kept.run().swept is None
    assert jobs(kept) == {"job"}
    clock.advance(seconds=1)
    kept.run()
    assert jobs(kept) == set()
    check(kept)


def test_a_running_job_is_never_discarded(kept: Retained, clock: Clock) -> None:
    """However old it is."""
    drive(kept, "d")
    kept.do(CloneDrive(ME, "d", "copy", "job"), StartAttempt("job", 1, "w"))
    clock.advance(days=1_000)
    assert kept.run().swept is None
    assert jobs(kept) == {"job"}


def test_a_parent_with_a_running_descendant_is_never_discarded(
    kept: Retained, clock: Clock
) -> None:
    """Nor are the children that ended long ago."""
    kept.do(
        CreateJob(ME, "root", "x"),
        CreateJob(ME, "branch", "x", parent="root"),
        CreateJob(ME, "leaf", "x", parent="branch"),
        CreateJob(ME, "other-leaf", "x", parent="branch"),
        StartAttempt("leaf", 1, "w"),
        SucceedJob("leaf", 1),
    )
    clock.advance(days=1_000)
    assert kept.run().swept is None
    kept.do(StartAttempt("other-leaf", 1, "w"), FailJob("other-leaf", 1, "on fire"))
    clock.advance(days=DAYS, seconds=1)
    kept.run()
    assert jobs(kept) == set()
    check(kept)


def test_a_deleted_drive_goes_with_the_last_tree_that_names_it(
    kept: Retained, clock: Clock
) -> None:
    """Until then its stream is in the store; that of a drive that lives stays."""
    drive(kept, "d")
    clone(kept, "d", "first")
    clock.advance(days=1)
    clone(kept, "d", "second")
    kept.do(DeleteDrives(ME, ("d",)))
    clock.advance(days=2, seconds=1)
    kept.run()
    assert streams(kept) == {
        "drive-d",
        "drive-copy-first",
        "drive-copy-second",
        "job-second",
    }
    check(kept)
    clock.advance(days=1)
    kept.run()
    assert streams(kept) == {"drive-copy-first", "drive-copy-second"}
    check(kept)


def test_what_is_discarded_is_in_an_archive(kept: Retained, clock: Clock) -> None:
    """Byte for byte, and no more in the store; its place in the tree is kept."""
    kept.do(*STORY)
    with kept.ledger.log() as log:
        before = {event.position: event for event in log.events()}
    clock.advance(days=DAYS, seconds=1)
    compacted = kept.run().compacted
    assert compacted is not None
    with kept.ledger.log() as log:
        left = {event.position: event for event in log.events()}
        assert log.leaf_count() == len(left) + compacted.events
    archived = {event.position: event for event in kept.shelf.events()}
    assert len(archived) == compacted.events > 0
    assert not archived.keys() & left.keys()
    assert before.keys() <= archived.keys() | left.keys()
    assert all(before[position] == event for position, event in archived.items())
    check(kept)


def test_positions_are_never_used_again(kept: Retained, clock: Clock) -> None:
    """Also when the newest events are those that go: no reader of the log misses what follows."""
    drive(kept, "d")
    clone(kept, "d", "job")
    kept.do(DeleteDrives(ME, ("d", "copy-job")))
    kept.keep(days=0)
    kept.run()
    assert streams(kept) == set()
    with kept.ledger.log() as log:
        newest = log.last_position()
    position = kept.do(CreateDrives(ME, (NewDrive("e", disk()),), "blank"))
    with kept.ledger.log() as log:
        assert [event.stream for event in log.events(after=newest)] == ["drive-e"]
        assert log.streams_after(newest) == ["drive-e"]
    assert position > newest
    check(kept)


def policies(kept: Retained) -> Sequence[RetentionPolicySet]:
    with kept.ledger.log() as log:
        return policy_of(log).history


def test_a_policy_holds_from_when_it_is_set(kept: Retained, clock: Clock) -> None:
    """For all that is there; the earlier ones are remembered."""
    drive(kept, "d")
    clone(kept, "d", "job")
    kept.keep(days=30)
    clock.advance(days=29)
    assert kept.run().swept is None
    kept.keep(days=7)
    kept.keep(days=7)
    kept.run()
    assert jobs(kept) == set()
    assert [one.keep.days for one in policies(kept)] == [30, 7]
    check(kept)


@pytest.mark.parametrize("days", [-1, 36_526])
def test_a_policy_makes_sense(kept: Retained, days: int) -> None:
    """Nothing is kept for less than no time, nor for more than a century."""
    with pytest.raises(KeepOutOfRange):
        kept.keep(days=days)
    assert policies(kept) == ()


def test_a_plan_changes_nothing_and_is_what_a_run_does(kept: Retained, clock: Clock) -> None:
    """Its digest asks for exactly that, also later, when more is due."""
    drive(kept, "d")
    clone(kept, "d", "first")
    clock.advance(days=DAYS, seconds=1)
    before = kept.rows()
    plan = kept.retention.plan()
    assert [tree.jobs for tree in plan.trees] == [("first",)]
    assert kept.rows() == before
    clone(kept, "d", "second")
    clock.advance(days=DAYS, seconds=1)
    assert len(kept.retention.plan().trees) == 2
    kept.retention.run(plan.digest)
    assert jobs(kept) == {"second"}
    check(kept)


def test_a_plan_that_is_not_what_would_be_done_is_refused(kept: Retained, clock: Clock) -> None:
    """And nothing is done: it was done already, or was another ledger's, or is not due."""
    drive(kept, "d")
    clone(kept, "d", "job")
    young = kept.retention.plan(keep=timedelta(0))
    assert len(young.trees) == 1
    with pytest.raises(PlanChanged):  # by another policy than the one that holds
        kept.retention.run(young.digest)
    clock.advance(days=DAYS, seconds=1)
    plan = kept.retention.plan()
    kept.run()
    before = kept.rows()
    with pytest.raises(PlanChanged):
        kept.retention.run(plan.digest)
    with pytest.raises(PlanChanged, match="digest"):
        kept.retention.run("something")
    assert kept.rows() == before


def test_a_plan_of_tomorrow_cannot_be_run_today(kept: Retained, clock: Clock) -> None:
    """Whoever has its digest: nothing goes before it is due."""
    drive(kept, "d")
    clone(kept, "d", "job")
    tomorrow = kept.retention.plan(as_of=clock.now + timedelta(days=DAYS, hours=1))
    assert len(tomorrow.trees) == 1
    with pytest.raises(NotDue):
        kept.retention.run(tomorrow.digest)
    assert jobs(kept) == {"job"}


def test_a_plan_can_be_made_for_any_moment_by_any_policy(kept: Retained, clock: Clock) -> None:
    """Also for one that is past, with what was discarded since; the archives tell of it."""
    drive(kept, "d")
    moments = []
    for job in ("first", "second", "third"):
        clone(kept, "d", job)
        clock.advance(days=1)
        moments.append(clock.now)
    clock.advance(days=2, hours=-1)
    kept.run()
    assert jobs(kept) == {"third"}

    def planned(as_of: datetime, **keep: float) -> list[str]:
        plan = kept.retention.plan(as_of=as_of, keep=timedelta(**keep))
        return [tree.jobs[0] for tree in plan.trees]

    assert planned(moments[0], days=0) == ["first"]
    assert planned(moments[2], days=0) == ["first", "second", "third"]
    assert planned(moments[2], days=2.5) == ["first"]
    assert planned(moments[2], days=5) == []
    assert planned(clock.now, days=0) == ["third"]
    assert planned(clock.now + timedelta(days=9), days=9) == ["third"]


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_was_set_stops_the_sweep(kept: Retained, clock: Clock, hours: int) -> None:
    """By more than an hour, in either direction, until somebody says that it is right."""
    drive(kept, "d")
    clone(kept, "d", "job")
    kept.run()
    clock.advance(days=DAYS, seconds=1)
    kept.clock_error = timedelta(hours=hours)
    for _ in range(2):
        with pytest.raises(ClockMoved, match="confirm-clock"):
            kept.run()
    assert jobs(kept) == {"job"}
    kept.retention.confirm_clock()
    kept.run()
    assert jobs(kept) == set()


def test_each_machine_that_has_the_ledger_has_a_clock(kept: Retained, clock: Clock) -> None:
    """One that is set by days stops that machine, whatever the others' show, and only that one."""
    drive(kept, "d")
    clone(kept, "d", "job")
    for kept.boot in ("of-one", "of-two"):
        kept.run()
    clock.advance(hours=1)
    for _ in range(2):
        kept.boot, kept.clock_error = "of-two", timedelta(days=DAYS)
        with pytest.raises(ClockMoved):
            kept.run()
        kept.boot, kept.clock_error = "of-one", timedelta(0)
        kept.run()
    assert jobs(kept) == {"job"}


def test_a_clock_that_is_corrected_stops_nothing(kept: Retained, clock: Clock) -> None:
    """Within an hour, that is what clocks do."""
    kept.run()
    kept.clock_error = timedelta(minutes=59)
    kept.run()


def test_retention_and_a_rebuild_do_not_run_beside_each_other(kept: Retained) -> None:
    """The rebuild folds what a compaction would delete; who comes second is told."""
    with taken(kept.ledger.maintenance):
        with pytest.raises(RetentionBusy):
            kept.run()
        with pytest.raises(AlreadyRebuilding):
            kept.rebuild()
    kept.run()


def test_what_is_discarded_during_a_rebuild_is_not_in_the_new_rows(
    kept: Retained, clock: Clock
) -> None:
    """Nor in those that are caught up with."""
    kept.do(*STORY)
    clock.advance(days=DAYS, seconds=1)
    plan = kept.retention.plan()
    swept: list[Swept] = []

    def report(done: int, total: int) -> None:
        if not swept:
            swept.append(sweep(kept.ledger, plan, lambda: "meanwhile"))

    rebuilt = rebuild(kept.ledger, report)
    assert len(swept) == 1
    assert rebuilt.before == rebuilt.after
    assert kept.replay().divergence is None
    check(kept)


# A plan is read on pages


class Pages:
    """Opens the log for a plan of one thing a page, and may do something after a page."""

    def __init__(self, kept: Retained, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("projections.views.retention.PAGE", 1)
        self._kept = kept
        self._is_open = False
        self.opened = 0
        self.after: dict[int, Callable[[], object]] = {}

    @contextmanager
    def __call__(self) -> Iterator[Log]:
        assert not self._is_open, "one snapshot is held while another is read"
        self.opened += 1
        with self._kept.ledger.log() as log:
            self._is_open = True
            yield log
            self._is_open = False
        self.after.get(self.opened, lambda: None)()


@pytest.fixture
def pages(kept: Retained, monkeypatch: pytest.MonkeyPatch) -> Pages:
    return Pages(kept, monkeypatch)


def ended(kept: Retained, clock: Clock, *roots: str) -> None:
    """Trees that ended, and drives deleted at one moment, one of which two of them name."""
    drive(kept, "d")
    drive(kept, "e")
    clone(kept, "d", "first")
    clone(kept, "d", "second")
    kept.do(DeleteDrives(ME, ("d", "e")))
    for root in roots:
        family(kept, root)
    clock.advance(days=DAYS, seconds=1)


def test_a_plan_on_many_pages_is_the_plan_on_one(
    kept: Retained, clock: Clock, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what ended at one moment. No snapshot is held for more than a page."""
    ended(kept, clock, *"cadb")
    with behind_its_back(kept.file) as connection:  # as two nodes may stamp their events
        connection.execute(
            "UPDATE jobs_g1 SET last_modified = (SELECT max(last_modified) FROM jobs_g1)"
            " WHERE uuid IN ('a', 'b')"
        )
    cutoff = clock() - timedelta(days=DAYS)
    plan = plan_of(pages, DEFAULT_TERMS, cutoff)
    assert pages.opened > len(plan.trees) == 6
    assert plan.streams == ("drive-d", "drive-e")
    monkeypatch.undo()
    assert plan_of(kept.ledger.log, DEFAULT_TERMS, cutoff).digest == plan.digest


@pytest.mark.parametrize("page", range(1, 9))
def test_what_is_over_is_on_one_page_whatever_happens_meanwhile(
    kept: Retained, clock: Clock, pages: Pages, page: int
) -> None:
    """Others end between two pages, and a sweep discards all that is due."""
    ended(kept, clock, *"cadb")
    moment = clock()
    planned = plan_as_of(pages, kept.shelf, DEFAULT_TERMS, moment)

    def disturb() -> None:
        family(kept, "later")
        kept.run()

    pages.opened, pages.after = 0, {page: disturb}
    plan = plan_as_of(pages, kept.shelf, DEFAULT_TERMS, moment)
    assert plan.trees == planned.trees
    check(kept)
