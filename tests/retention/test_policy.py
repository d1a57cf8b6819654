"""What is due, against a naive model, over every small tree there is."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS, Policy, Terms
from ledger.domain.events.housekeeping import RetentionPolicySet
from ledger.domain.retention_policy import (
    Departed,
    JobInTree,
    Plan,
    Tree,
    cutoff_at,
    cutoff_of,
    plan,
)

KEEP = timedelta(days=3)
CUTOFF = datetime(2026, 1, 10, tzinfo=UTC)
TICK = timedelta(microseconds=1)
AGES = (CUTOFF - TICK, CUTOFF, CUTOFF + TICK)
STATES = ("started", "success", "failed", "cancelled")

SHAPES: dict[int, list[tuple[int, ...]]] = {
    1: [()],
    2: [(0,)],
    3: [(0, 0), (0, 1)],
    4: [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 2)],
    5: [
        (0, 0, 0, 0),
        (0, 0, 0, 1),
        (0, 0, 1, 1),
        (0, 0, 1, 2),
        (0, 0, 1, 3),
        (0, 1, 1, 1),
        (0, 1, 1, 2),
        (0, 1, 2, 2),
        (0, 1, 2, 3),
    ],
}
"""The parents of the jobs after the root, for each rooted tree of so many jobs."""


def trees(jobs: int, ages: Sequence[datetime]) -> Iterator[Tree]:
    for parents in SHAPES[jobs]:
        for states in product(STATES, repeat=jobs):
            for ends in product(ages, repeat=jobs):
                above = (None, *(f"job-{parent}" for parent in parents))
                named = zip(range(jobs), above, states, ends, strict=True)
                yield Tree("me", [job_in_tree(n, p, s, at) for n, p, s, at in named])


def job_in_tree(nth: int, parent: str | None, state: str, at: datetime) -> JobInTree:
    return JobInTree(f"job-{nth}", parent, None if state == "started" else at)


def is_due(tree: Tree) -> bool:
    """The naive model: looks at a job and, one by one, at all that is below it."""

    def over(job: JobInTree) -> bool:
        if job.ended is None or not job.ended < CUTOFF:
            return False
        return all(over(other) for other in tree.jobs if other.parent == job.uuid)

    [root] = [job for job in tree.jobs if job.parent is None]
    return over(root)


def planned(*those: Tree, departed: Sequence[Departed] = (), acts: Sequence[Departed] = ()) -> Plan:
    return plan(those, departed, acts, terms=Terms(KEEP, 20), cutoff=CUTOFF, position=1)


def check(jobs: int, ages: Sequence[datetime]) -> None:
    due = 0
    for tree in trees(jobs, ages):
        found = planned(tree).trees
        assert bool(found) == is_due(tree), tree
        due += len(found)
    assert due == len(SHAPES[jobs]) * 3**jobs * sum(age < CUTOFF for age in ages) ** jobs


@pytest.mark.parametrize("jobs", [1, 2, 3, 4])
def test_a_tree_is_due_when_all_of_it_ended_before_the_cutoff(jobs: int) -> None:
    """Every tree of up to four jobs, in every state and on both sides of the cutoff and at it."""
    check(jobs, AGES)


@pytest.mark.thorough
def test_a_tree_of_five_jobs_is_due_when_all_of_it_ended_before_the_cutoff() -> None:
    """Every one of them, before the cutoff or at it."""
    check(5, AGES[:2])


@pytest.mark.long
def test_a_tree_of_five_jobs_is_due_whatever_its_ages() -> None:
    """The same with those that ended after it: two million trees."""
    check(5, AGES)


def ended_tree(name: str, at: datetime = AGES[0]) -> Tree:
    return Tree("me", [JobInTree(name, None, at)])


def test_a_plan_is_the_same_in_whatever_order_things_are_found() -> None:
    """So that its digest is, too."""
    things = [ended_tree(name) for name in "abc"]
    gone = [Departed(f"drive-{name}", AGES[0]) for name in "xy"]
    plans = {
        planned(*those, departed=departed).digest
        for those in permutations(things)
        for departed in (gone, gone[::-1])
    }
    assert len(plans) == 1


def test_a_digest_tells_plans_apart_and_names_the_cutoff() -> None:
    """Who has it can ask for exactly this plan."""
    one, two = planned(ended_tree("a")), planned(ended_tree("b"))
    assert one.digest != two.digest
    assert cutoff_of(one.digest) == cutoff_of(two.digest) == CUTOFF


@pytest.mark.parametrize("text", ["", "x", "20260110T000000.000000Z-ab", "-" + "0" * 64])
def test_what_is_no_digest_is_refused(text: str) -> None:
    """Before anything is looked at."""
    with pytest.raises(ValueError, match=r"digest|match"):
        cutoff_of(text)


def test_a_deleted_drive_goes_with_the_last_tree_that_names_it() -> None:
    """Not while a tree that stays names it, nor before its own time."""
    due, kept = ended_tree("due"), ended_tree("kept", CUTOFF)
    gone = [
        Departed("drive-unnamed", AGES[0]),
        Departed("drive-of-due", AGES[0], frozenset({"due"})),
        Departed("drive-of-both", AGES[0], frozenset({"due", "kept"})),
        Departed("drive-young", CUTOFF, frozenset({"due"})),
    ]
    assert planned(due, kept, departed=gone).streams == ("drive-of-due", "drive-unnamed")


def test_old_acts_go_along_but_never_alone() -> None:
    """A sweep that discarded nothing but old sweeps would be discarded by one, and so on."""
    acts = [Departed("sweep-old", AGES[0]), Departed("sweep-young", CUTOFF)]
    assert planned(ended_tree("a"), acts=acts).streams == ("sweep-old",)
    assert planned(departed=[Departed("tag-t", AGES[0])], acts=acts).streams == (
        "sweep-old",
        "tag-t",
    )
    assert not planned(ended_tree("young", CUTOFF), acts=acts)


def test_the_policy_of_a_moment_is_the_newest_that_holds_by_then() -> None:
    """Before the first there is the default: three days, and the last 20 of each series."""
    set_ = [RetentionPolicySet(timedelta(days=days), AGES[days]) for days in (1, 2)]
    policy = Policy(tuple(set_))
    assert policy.terms(AGES[0]) == DEFAULT_TERMS == (timedelta(days=3), 20)
    assert policy.terms(AGES[1]).keep == timedelta(days=1)
    assert policy.terms(AGES[2] + KEEP).keep == timedelta(days=2)


def test_nothing_is_due_as_long_as_time_is_younger_than_the_policy() -> None:
    """However long it keeps things."""
    assert cutoff_at(CUTOFF, timedelta(days=36_525)) == CUTOFF - timedelta(days=36_525)
    assert cutoff_at(datetime(1, 1, 2, tzinfo=UTC), KEEP) == datetime.min.replace(tzinfo=UTC)
