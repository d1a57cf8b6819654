"""The last jobs of each series stay with their trees, however old, and the last that succeeded."""

from datetime import timedelta
from random import Random

import pytest

from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS, Terms
from ledger.domain.commands.housekeeping import DiscardJobs
from ledger.domain.producers.commands import AbandonJob, End, EndJob, LoseProducer
from ledger.domain.retention_policy import SERIES_KEPT, Run, stays
from ledger.store.tables import guards
from ledger.store.unit_of_work import tree_guard
from projections.maintenance.retention.sweep import Swept, sweep
from projections.streams import rows_of_stream
from tests.retention.conftest import Clock, Nodes
from tests.retention.telling import DAYS, check, jobs
from tests.support.producing import BROKEN, DONE, SKIPPED, STOPPED, running
from tests.support.retained import Retained
from tests.support.world import START

DAY = timedelta(days=1)


def run(kept: Retained, uuid: str, end: End = DONE, *, series: str = "nightly") -> None:
    """A tree of a series: a root, with a job below it that has no series."""
    kept.do(
        running(uuid, series=series),
        running(f"{uuid}-below", uuid, end=DONE),
        EndJob(uuid, 1, end),
    )


def roots(kept: Retained) -> set[str]:
    return {uuid for uuid in jobs(kept) if not uuid.endswith("-below")}


def several(kept: Retained, clock: Clock, *names: str, end: End = DONE) -> None:
    for name in names:
        run(kept, name, end)
        clock.advance(hours=1)


# The rule


@pytest.mark.parametrize(
    ("newer", "silent_for", "is_last_success", "is_crowded_out", "stay"),
    [
        (0, 0 * DAY, False, False, True),
        (1, 0 * DAY, False, False, True),
        (2, 0 * DAY, False, False, False),
        (2, 0 * DAY, True, False, True),
        (0, SERIES_KEPT, True, False, True),
        (0, SERIES_KEPT + timedelta.resolution, True, False, False),
        (0, 0 * DAY, True, True, False),
    ],
)
def test_which_jobs_of_a_series_stay(
    newer: int, silent_for: timedelta, *, is_last_success: bool, is_crowded_out: bool, stay: bool
) -> None:
    """As many as the policy says, and the last success; none of a series that is history."""
    run = Run(newer, START - silent_for, is_last_success, is_crowded_out)
    assert stays(run, Terms(DAY, 2), START) == stay
    assert not stays(run, Terms(DAY, 0), START)


# At work


def test_the_last_jobs_of_a_series_stay_with_their_trees(nodes: Nodes, clock: Clock) -> None:
    """And the last that succeeded, if it is older; what is of no series goes as ever."""
    one, two = nodes
    one.retention.set(timedelta(days=DAYS), 2)
    several(one, clock, "success", "older")
    several(one, clock, "broken", "stopped", end=BROKEN)
    several(one, clock, "skipped", end=SKIPPED)
    one.do(running("alone", end=DONE))
    clock.advance(days=DAYS, seconds=1)
    plan = two.retention.plan()
    assert {tree.jobs[0] for tree in plan.trees} == {"success", "broken", "alone"}
    assert two.retention.status().keep_last == 2
    one.retention.run(plan.digest)
    for node in nodes:
        assert roots(node) == {"older", "stopped", "skipped"}
        assert jobs(node) >= {"older-below", "skipped-below"}
        assert node.retention.status().next_due is None
    assert two.run().swept is None
    check(two)


def test_a_series_without_a_run_for_400_days_is_history(nodes: Nodes, clock: Clock) -> None:
    one, two = nodes
    several(one, clock, "a", "b")
    clock.advance(days=399)
    assert one.run().swept is None
    clock.advance(days=2)
    two.run()
    assert roots(one) == set()
    check(one)


def test_a_run_makes_a_series_current_again(kept: Retained, clock: Clock) -> None:
    """Once a year is often enough."""
    for year in ("first", "second", "third"):
        run(kept, year)
        clock.advance(days=365)
        kept.run()
    assert roots(kept) == {"first", "second", "third"}
    check(kept)


def test_a_running_job_is_none_of_the_last(kept: Retained, clock: Clock) -> None:
    """Those that have ended are counted."""
    kept.retention.set(timedelta(days=DAYS), 1)
    several(kept, clock, "ended")
    kept.do(running("runs", series="nightly"))
    clock.advance(days=DAYS, seconds=1)
    assert kept.run().swept is None
    kept.do(EndJob("runs", 1, DONE))
    kept.run()
    assert roots(kept) == {"runs"}
    check(kept)


def test_a_series_has_so_many_neighbours_that_stay(
    nodes: Nodes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an account with more, those whose last run ended last."""
    for module in ("views.retention", "audit.series"):
        monkeypatch.setattr(f"projections.{module}.SERIES_MOST", 2)
    one, two = nodes
    for series in ("x", "y", "z", "x"):
        run(one, f"{series}-{clock.now:%H}", series=series)
        clock.advance(hours=1)
    run(one, "theirs", series="theirs")  # the same account has four series by now
    clock.advance(days=DAYS, seconds=1)
    two.run()
    assert {root.partition("-")[0] for root in roots(one)} == {"x", "theirs"}
    check(two)


def test_a_policy_of_version_1_keeps_nothing_for_a_series(kept: Retained, clock: Clock) -> None:
    """It means what it meant."""
    kept.retention.set(timedelta(days=DAYS), 0)
    several(kept, clock, "a")
    clock.advance(days=DAYS, seconds=1)
    kept.run()
    assert roots(kept) == set()
    check(kept)


def test_a_plan_stays_the_same_while_further_jobs_end(kept: Retained, clock: Clock) -> None:
    """Its digest asks for exactly what it named."""
    kept.retention.set(timedelta(days=DAYS), 1)
    several(kept, clock, *"abc")
    clock.advance(days=DAYS, seconds=1)
    plan = kept.retention.plan()
    assert [tree.jobs[0] for tree in plan.trees] == ["a", "b"]
    several(kept, clock, "d")
    then = kept.retention.plan(as_of=plan.moment)
    assert then.digest == plan.digest
    kept.retention.run(plan.digest)
    assert roots(kept) == {*"cd"}
    check(kept)
    kept.run()
    assert roots(kept) == {"d"}
    check(kept)


def test_what_if_more_or_fewer_stayed(kept: Retained, clock: Clock) -> None:
    """Nothing changes, and the digest of another policy's plan does nothing."""
    several(kept, clock, *"abc")
    clock.advance(days=DAYS, seconds=1)
    plan = kept.retention.plan(keep_last=1)
    assert [tree.jobs[0] for tree in plan.trees] == ["a", "b"]
    assert kept.retention.plan(keep_last=2).digest != plan.digest
    assert not kept.retention.plan()
    assert roots(kept) == {*"abc"}


# Late reports


def lost_and_late(kept: Retained, uuid: str) -> None:
    kept.do(running(uuid, series="nightly"), LoseProducer(uuid, 1), AbandonJob(uuid, 1))


def test_a_success_that_is_reported_late_is_one(nodes: Nodes, clock: Clock) -> None:
    """Also one that is reported after the plan, but before the discard."""
    one, two = nodes
    one.retention.set(timedelta(days=DAYS), 1)
    lost_and_late(one, "late")
    lost_and_late(one, "later")
    several(one, clock, "broken", end=BROKEN)
    one.do(EndJob("late", 1, DONE))
    clock.advance(days=DAYS, seconds=1)
    plan = two.retention.plan()
    assert [tree.jobs[0] for tree in plan.trees] == ["later"]
    one.do(EndJob("later", 1, DONE))
    assert sweep(two.ledger, plan, lambda: "late-sweep") == Swept("late-sweep")
    assert roots(one) == {"late", "later", "broken"}
    two.run()
    assert roots(one) == {"later", "broken"}
    check(one)


# Audits


def discard_by_force(kept: Retained, root: str) -> None:
    """Discard a tree as a sweep does that does not look at series."""
    plan = kept.retention.plan(keep_last=0)
    [tree] = [tree for tree in plan.trees if tree.jobs[0] == root]
    with kept.ledger.log() as log:
        rows = [key for stream in tree.streams() for key in rows_of_stream(log, stream)]
        guard = guards.version_of(log.cursor(), tree_guard(root))
    kept.do(
        DiscardJobs(
            sweep="forced",
            keep=plan.keep,
            cutoff=plan.cutoff,
            planned_at=plan.position,
            trees=(tree,),
            streams=(),
            rows=tuple(rows),
            guards=(guard,),
            keep_last=DEFAULT_TERMS.keep_last,
        )
    )


def test_an_audit_finds_a_sweep_that_discards_what_a_series_keeps(
    kept: Retained, clock: Clock
) -> None:
    several(kept, clock, "a", "b")
    clock.advance(days=DAYS, seconds=1)
    discard_by_force(kept, "a")
    found = kept.replay(kept.archives).divergence
    assert found is not None
    assert found.reason == "the tree of job a had to stay as one of the last of its series"


def test_an_audit_finds_what_was_kept_though_no_series_keeps_it(
    kept: Retained, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a sweep that says that it has discarded all that was due."""
    kept.retention.set(timedelta(days=DAYS), 1)
    several(kept, clock, "a", "b")
    clock.advance(days=DAYS, seconds=1)
    kept.do(running("alone", end=DONE))
    clock.advance(days=DAYS, seconds=1)
    monkeypatch.setattr("projections.views.retention.stays", lambda *_: True)
    kept.run()
    assert roots(kept) == {"a", "b"}
    found = kept.replay(kept.archives).divergence
    assert found is not None
    assert "the tree of job a was due since" in found.reason


@pytest.mark.parametrize("nth", range(3))
def test_any_history_of_series_is_swept_as_the_rule_says_and_audited(
    kept: Retained, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int, nth: int
) -> None:
    """Policies change, runs are late, series lapse; each page of a plan has two trees."""
    chance = Random(f"{seed} {nth}")  # noqa: S311
    monkeypatch.setattr("projections.views.retention.PAGE", 2)
    monkeypatch.setattr("projections.views.retention.FIRST_ENDS", 2)
    for module in ("views.retention", "audit.series"):
        monkeypatch.setattr(f"projections.{module}.SERIES_MOST", 3)
    lost: list[str] = []
    for step in range(40):
        uuid, series = f"job-{step:02}", chance.choice("vwxyz")
        match chance.randrange(8):
            case 0:
                kept.retention.set(timedelta(days=chance.randrange(4)), chance.randrange(4))
            case 1:
                kept.do(running(uuid, series=series), LoseProducer(uuid, 1), AbandonJob(uuid, 1))
                lost.append(uuid)
            case 2 if lost and lost[0] in jobs(kept):
                kept.do(EndJob(lost.pop(0), 1, DONE))
            case _:
                run(kept, uuid, chance.choice((DONE, BROKEN, STOPPED, SKIPPED)), series=series)
        clock.advance(days=chance.choice((0, 0, 1, 3, 130)), seconds=1)
        if chance.random() < 0.4:
            kept.run()
            assert not kept.retention.plan()
    divergence = kept.replay(kept.archives).divergence
    assert divergence is None, divergence
    check(kept)
