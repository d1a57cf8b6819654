"""Labels and late reports that come while their tree is discarded and archived.

One of the two is decided anew. A model finds what can go wrong, by every order in which the steps
of a sweep, of the compaction after it and of some labels can come. Then the same orders are played
with the stores: one node does something at exactly the moment between two steps of the other.
"""

from collections.abc import Callable, Generator, Iterator
from itertools import count
from typing import NamedTuple

import pytest

from ledger.codec import name_of
from ledger.domain.commands import Command
from ledger.domain.commands.housekeeping import DiscardJobs
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.errors.jobs import JobDiscarded
from ledger.domain.producers.commands import AbandonJob, EndJob, LoseProducer, RegisterJob
from ledger.store.seam import Batch
from ledger.store.writer import Caller
from projections.maintenance.retention.service import Retention
from tests.retention.conftest import Nodes
from tests.retention.telling import check, jobs
from tests.support.producing import DONE, HERE, registered
from tests.support.retained import Retained
from tests.support.world import ME

# The model


class Rules(NamedTuple):
    """What a discard and a label rest on."""

    guard: bool = True
    unspent: bool = True
    reads_anew: bool = True


class Tree:
    """A tree that has ended, in the store: its guard is there once it was raised."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.guard: int | None = None
        self.rows = 0
        self.spent = False
        self.faults: set[str] = set()

    def raised(self, decided: int) -> bool:
        """Raise the guard; return false if it is not as it was when this was decided.

        As the stores do it: a guard that was removed begins anew.
        """
        if self.rules.guard and self.guard not in (None, decided):
            return False
        self.guard = decided + 1
        return True


Steps = Generator[None, None, None]
"""What others may do in between comes at each `yield`."""


def discarding(tree: Tree) -> Steps:
    """A sweep that reads rows, decides to drop them, and commits; then the compaction."""
    seen = None
    while True:
        if seen is None or tree.rules.reads_anew:
            seen, rows = tree.guard or 0, tree.rows
        yield
        decided = tree.guard or 0
        yield
        if (decided == seen or not tree.rules.guard) and tree.raised(decided):
            break
        if not tree.rules.reads_anew:
            tree.faults.add("it is never discarded")
            return
    tree.spent = True
    tree.rows -= rows
    yield
    tree.guard = None


def labelling(tree: Tree) -> Steps:
    """A label, decided and then committed; or refused, because the job was discarded."""
    while not tree.spent:
        decided = tree.guard or 0
        yield
        if tree.rules.unspent and tree.spent:
            return
        if tree.raised(decided):
            tree.rows += 1
            if tree.spent:
                tree.faults.add("an event follows the discard")
            return


def orders(rules: Rules, labels: int) -> Iterator[Tree]:
    """Yield the tree after every order of the steps of one sweep and some labels."""
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        order = waiting.pop()
        tree = Tree(rules)
        work = [discarding(tree), *(labelling(tree) for _ in range(labels))]
        left = set(range(len(work)))
        for nth in order:
            if next(work[nth], "over") == "over":
                left.discard(nth)
        if left:
            waiting += [(*order, nth) for nth in left]
            continue
        if tree.rows:
            tree.faults.add("a row is left")
        yield tree


def faults(rules: Rules, labels: int = 2) -> set[str]:
    return {fault for tree in orders(rules, labels) for fault in tree.faults}


def test_no_order_of_labels_and_a_discard_does_harm() -> None:
    """All of 900 and more: whatever is discarded is whole, and nothing comes after it."""
    found = [*orders(Rules(), 2)]
    assert len(found) > 900
    assert {fault for tree in found for fault in tree.faults} == set()


def test_neither_rule_suffices_alone() -> None:
    """Guards are removed with what they guard: a late label would find none in its way."""
    assert faults(Rules(guard=False)) == {"a row is left"}
    assert faults(Rules(unspent=False)) == {"an event follows the discard", "a row is left"}
    assert faults(Rules(reads_anew=False)) == {"it is never discarded", "a row is left"}


# The stores

Do = Callable[[], object]
JOBS = ("a", "a-below")


def between_reading_and_deciding(node: Retained, monkeypatch: pytest.MonkeyPatch, do: Do) -> None:
    """Do this once a sweep has read what it discards, before its command is taken."""
    execute = node.ledger.execute_blocking

    def late(command: object, *rest: object) -> int:
        if isinstance(command, DiscardJobs):
            monkeypatch.undo()
            do()
        return execute(command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(node.ledger, "execute_blocking", late)


def between_deciding_and_writing(node: Retained, monkeypatch: pytest.MonkeyPatch, do: Do) -> None:
    """Do this once the next command that is recorded on this node has been decided."""
    append = node.store.append

    def late(batch: Batch) -> int:
        monkeypatch.undo()
        do()
        return append(batch)

    monkeypatch.setattr(node.store, "append", late)


def between_discarding_and_compacting(
    node: Retained, monkeypatch: pytest.MonkeyPatch, do: Do
) -> None:
    compact = node.retention._compact

    def late(*given: object) -> object:
        monkeypatch.undo()
        do()
        return compact(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(node.retention, "_compact", late)


@pytest.fixture
def due(nodes: Nodes) -> Nodes:
    """A tree that is due; its jobs were abandoned, and one of them has a label."""
    one, two = nodes
    one.keep(days=0)
    for job, parent in (("a", None), ("a-below", "a")):
        one.do(RegisterJob(ME, job, "backup", registered(), parent, HERE), LoseProducer(job, 1))
    one.do(*(AbandonJob(job, 1) for job in reversed(JOBS)))
    two.do(label("a-below"))
    return nodes


def label(job: str, value: str = "first") -> LabelJob:
    return LabelJob(ME, job, {"env": value, value: "x"})


def report(job: str) -> EndJob:
    """It was not lost after all."""
    return EndJob(job, 1, DONE)


def tell_all(node: Retained) -> None:
    for job in JOBS:
        node.do(label(job, "meanwhile"), report(job))


def refused(node: Retained) -> None:
    """What comes too late, for whichever job."""
    for job in JOBS:
        for command in (label(job, "late"), report(job)):
            with pytest.raises(JobDiscarded):
                node.do(command)


def sound(node: Retained) -> None:
    """All is gone, and every audit agrees, also after another run."""
    assert jobs(node) == set()
    assert node.rows()["labels"] == []
    check(node)
    node.run()
    check(node)


def went_with_all(node: Retained) -> None:
    """What was recorded in time is in the archive."""
    for job in JOBS:
        events = node.shelf.stream(f"job-{job}")
        assert events is not None
        assert b"meanwhile" in events[-2].state
        assert name_of(events[-1].topic) == "late-report-recorded"


def test_what_comes_after_a_sweep_has_read_goes_with_the_tree(
    due: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep reads the tree again, and drops the new label's row too."""
    one, two = due
    between_reading_and_deciding(one, monkeypatch, lambda: tell_all(two))
    one.run()
    went_with_all(one)
    refused(one)
    sound(two)


@pytest.mark.parametrize("nodes", ["sqlite"], indirect=True)
def test_a_tree_that_is_labelled_all_the_time_is_left_to_the_next_sweep(
    due: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sweep goes on for ever, and the other trees that are due do not wait for this one."""
    one, two = due
    one.do(RegisterJob(ME, "b", "backup", registered(), None, HERE, DONE))
    execute, told = one.ledger.execute_blocking, count()

    def late(command: Command, by: Caller) -> int:
        if isinstance(command, DiscardJobs) and any("a" in tree.jobs for tree in command.trees):
            two.do(label("a", f"v{next(told)}"))
        return execute(command, by)

    monkeypatch.setattr(one.ledger, "execute_blocking", late)
    one.run()
    check(one)
    assert jobs(one) == {*JOBS}
    monkeypatch.undo()
    one.run()
    sound(two)


@pytest.mark.parametrize("nodes", ["postgres"], indirect=True)
def test_what_comes_after_a_discard_was_decided_makes_it_decided_anew(
    due: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They collide at the guard of the tree."""
    one, two = due

    def decided() -> None:
        between_deciding_and_writing(one, monkeypatch, lambda: tell_all(two))

    between_reading_and_deciding(one, monkeypatch, decided)
    one.run()
    went_with_all(one)
    sound(two)


@pytest.mark.parametrize("nodes", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("command", "run"),
    [
        (label("a-below", "late"), Retention.run_if_worthwhile),
        (label("a-below", "late"), Retention.run),
        (report("a-below"), Retention.run),
    ],
    ids=["label, kept", "label, gone", "report, gone"],
)
def test_what_was_decided_before_a_discard_is_refused_after_it(
    due: Nodes,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
    run: Callable[[Retention], object],
) -> None:
    """Also once the events are archived, and the guard has gone with them."""
    one, two = due
    between_deciding_and_writing(two, monkeypatch, lambda: run(one.retention))
    with pytest.raises(JobDiscarded):
        two.do(command)
    refused(two)
    sound(one)


def test_what_comes_between_discard_and_compaction_is_refused(
    due: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both nodes, whatever they remember of the job, and again after the compaction."""
    one, two = due

    def late() -> None:
        refused(one)
        refused(two)

    between_discarding_and_compacting(one, monkeypatch, late)
    one.run()
    late()
    sound(two)
