"""The sub-jobs of a job: what is known of them, and what each event about them costs."""

import time
from collections.abc import Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.aggregates.children import Child, Children
from ledger.domain.events.jobs import Ending

ENDS: st.SearchStrategy[Ending | None] = st.sampled_from([None, "success", "failed", "cancelled"])
FAMILIES = st.dictionaries(st.uuids().map(str), ENDS)


@given(FAMILIES, st.randoms())
def test_children_are_as_their_events_say(
    family: Mapping[str, Ending | None], chance: Random
) -> None:
    """They are in the order in which they were attached, in whichever order they end."""
    children = Children()
    for uuid in family:
        children = children.attach(uuid)
    ends = [(uuid, how) for uuid, how in family.items() if how is not None]
    chance.shuffle(ends)
    for uuid, how in ends:
        before, children = children, children.end(uuid, how)
        assert before.get(uuid) == Child(uuid, [*family].index(uuid))
    assert [*children] == [Child(uuid, nth, how) for nth, (uuid, how) in enumerate(family.items())]
    assert len(children) == len(family)
    assert children.running == sum(how is None for how in family.values())
    assert children.get("another") is None


@given(FAMILIES)
def test_a_parent_ends_as_the_worst_of_its_children(family: Mapping[str, Ending | None]) -> None:
    """Once all of them have ended; without children nothing is said about its end."""
    children = Children()
    for uuid, how in family.items():
        children = children.attach(uuid)
        children = children if how is None else children.end(uuid, how)
    ends = {*family.values()}
    worst = next((how for how in ("failed", "cancelled", "success") if how in ends), None)
    assert children.outcome == (None if None in ends else worst)


def test_the_cost_of_a_child_does_not_grow_with_their_number() -> None:
    """Four times as many take about four times as long, not sixteen."""

    def cost(n: int) -> float:
        begun = time.thread_time()
        children = Children()
        for nth in range(n):
            children = children.attach(str(nth))
        for nth in range(n):
            children = children.end(str(nth), "success")
        return time.thread_time() - begun

    assert min(cost(8_000) for _ in range(3)) < 9 * min(cost(2_000) for _ in range(3))
