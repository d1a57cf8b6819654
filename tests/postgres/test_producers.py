"""What two nodes decide of a producer's job at the same moment: who is second decides again.

Each of these commands meets another one that the other node records after it was decided, and
before it is recorded.
"""

from collections.abc import Callable

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.errors import Refusal
from ledger.domain.errors.jobs import JobOver
from ledger.domain.errors.producers import (
    AttemptReplaced,
    AttemptTaken,
    EndedOtherwise,
    GroupSealed,
    ParentOver,
)
from ledger.domain.events.producers import JobAttemptFailed, JobCancelRequested
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    LoseProducer,
    RequestCancel,
    ReturnAttempt,
    SealJob,
    TakeUpJob,
)
from ledger.store.seam import Batch
from tests.harness.cases import in_turn
from tests.postgres.nodes import Nodes
from tests.support.opened import Opened
from tests.support.producing import BROKEN, DONE, HERE, THERE, group, named, queued, running
from tests.support.world import ME, START

SEAL = SealJob(ME, "g")
CANCEL = RequestCancel(ME, "j", JobCancelRequested(60))
LOST = running(), LoseProducer("j", 1)
FULL = group(expect=2), running("k1", "g")


class Jobs:
    """The jobs of one case, which have uuids of their own, as a node knows them."""

    def __init__(self, node: Opened, case: str) -> None:
        self._node = node
        self._case = case

    def do(self, *commands: Command) -> None:
        self._node.do(*named(commands, ME, self._own))

    def _own(self, uuid: str) -> str:
        return f"{uuid} {self._case}"

    def job(self, uuid: str = "j") -> Job:
        found = self._node.current(f"job-{self._own(uuid)}")
        assert isinstance(found, Job)
        return found

    def outcome(self, uuid: str = "j") -> tuple[str | None, ...]:
        """Return how a job stands: its state, its reason, and what was said late."""
        produced = self.job(uuid).produced
        assert produced is not None
        return self.job(uuid).state, produced.reason, produced.late

    def children(self, uuid: str = "g") -> dict[str, str | None]:
        return {child.uuid.partition(" ")[0]: child.ended for child in self.job(uuid).children}


Check = Callable[[Jobs], bool]
RACES: dict[str, tuple[tuple[Command, ...], Command, Command, type[Refusal] | None, Check]] = {
    "an empty group closes, a child registers": (
        *((group(),), SEAL, running("k", "g"), None),
        lambda jobs: (jobs.job("g").state, jobs.children()) == ("started", {"k": None}),
    ),
    "a child registers, the empty group closes": (
        *((group(),), running("k", "g"), SEAL, ParentOver),
        lambda jobs: (jobs.job("g").state, jobs.children()) == ("success", {}),
    ),
    "a child registers, the group with another closes": (
        *((group(), running("k", "g")), running("k2", "g"), SEAL, GroupSealed),
        lambda jobs: (jobs.job("g").state, jobs.children()) == ("started", {"k": None}),
    ),
    "the last child ends, another registers": (
        *((group(), running("k", "g")), EndJob("k", 1, DONE), running("k2", "g"), None),
        lambda jobs: jobs.children() == {"k": "success", "k2": None},
    ),
    "the last child ends, the group closes": (
        *((group(), running("k", "g")), EndJob("k", 1, DONE), SEAL, None),
        lambda jobs: jobs.outcome("g")[0] == "success",
    ),
    "the group closes, its last child ends": (
        *((group(), running("k", "g")), SEAL, EndJob("k", 1, BROKEN), None),
        lambda jobs: jobs.outcome("g")[:2] == ("failed", "children"),
    ),
    "the last two children end": (
        (group(), running("k1", "g"), running("k2", "g"), SEAL),
        *(EndJob("k1", 1, DONE), EndJob("k2", 1, BROKEN), None),
        lambda jobs: jobs.outcome("g")[:2] == ("failed", "children"),
    ),
    "two register as the last child": (
        *(FULL, running("k2", "g"), running("k3", "g"), GroupSealed),
        lambda jobs: set(jobs.children()) == {"k1", "k3"},
    ),
    "two take it up": (
        *((queued(),), TakeUpJob("j", 0, HERE), TakeUpJob("j", 0, THERE), AttemptTaken),
        lambda jobs: jobs.job().attempt == 1,
    ),
    "two follow a lost attempt": (
        *(LOST, TakeUpJob("j", 1, HERE), TakeUpJob("j", 1, THERE), AttemptTaken),
        lambda jobs: jobs.job().attempt == 2,
    ),
    "one follows, the lost attempt returns": (
        *(LOST, TakeUpJob("j", 1, THERE), ReturnAttempt("j", 1), AttemptTaken),
        lambda jobs: (jobs.job().attempt, jobs.job().lost) == (1, False),
    ),
    "the lost attempt returns, another has followed": (
        *(LOST, ReturnAttempt("j", 1), TakeUpJob("j", 1, THERE), AttemptReplaced),
        lambda jobs: (jobs.job().attempt, jobs.job().lost) == (2, False),
    ),
    "it is abandoned, its producer ends it": (
        *(LOST, AbandonJob("j", 1), EndJob("j", 1, DONE), JobOver),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "its producer ends it, it was abandoned": (
        *(LOST, EndJob("j", 1, DONE), AbandonJob("j", 1), None),
        lambda jobs: jobs.outcome() == ("failed", "lost", "succeeded"),
    ),
    "it is abandoned, it has returned": (
        *(LOST, AbandonJob("j", 1), ReturnAttempt("j", 1), None),
        lambda jobs: jobs.outcome() == ("started", None, None),
    ),
    "it returns, it was abandoned": (
        *(LOST, ReturnAttempt("j", 1), AbandonJob("j", 1), JobOver),
        lambda jobs: jobs.outcome() == ("failed", "lost", None),
    ),
    "it is lost, its producer ends it": (
        *((running(),), LoseProducer("j", 1), EndJob("j", 1, DONE), JobOver),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "two say the same end": (
        *((running(),), EndJob("j", 1, DONE), EndJob("j", 1, DONE), None),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "two say different ends": (
        *((running(),), EndJob("j", 1, BROKEN), EndJob("j", 1, DONE), EndedOtherwise),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "one ends it, one only the attempt": (
        (running(),),
        *(FailAttempt("j", JobAttemptFailed(1, START)), EndJob("j", 1, DONE), JobOver),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "two ask it to stop": (
        *((running(),), CANCEL, CANCEL, None),
        lambda jobs: jobs.outcome() == ("started", None, None),
    ),
    "one asks, its producer ends it": (
        *((running(),), CANCEL, EndJob("j", 1, DONE), JobOver),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "its producer ends it, one has asked": (
        *((running(),), EndJob("j", 1, DONE), CANCEL, None),
        lambda jobs: jobs.outcome() == ("success", None, None),
    ),
    "one asks, it is taken up from the queue": (
        *((queued(),), CANCEL, TakeUpJob("j", 0, HERE), None),
        lambda jobs: (jobs.job().state, jobs.job().attempt) == ("started", 1),
    ),
    "one takes it up, it was cancelled in the queue": (
        *((queued(),), TakeUpJob("j", 0, HERE), CANCEL, JobOver),
        lambda jobs: jobs.outcome() == ("cancelled", "requested", None),
    ),
}
"""What there was, what is decided first, what is recorded first, how the former is refused, if it
is, and how things stand in the end."""


@in_turn("race", RACES)
def test_who_is_second_decides_again(
    nodes: Nodes, race: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = nodes
    here, there = (Jobs(node, race) for node in nodes)
    before, second, first, refusal, holds = RACES[race]
    here.do(*before)
    there.do(running("elsewhere"))  # so that it has read what the other node has recorded
    append, met = one.store.append, list[Batch]()

    def append_second(batch: Batch) -> int:
        monkeypatch.undo()
        met.append(batch)
        there.do(first)
        return append(batch)

    monkeypatch.setattr(one.store, "append", append_second)
    if refusal is None:
        here.do(second)
    else:
        with pytest.raises(refusal):
            here.do(second)
    assert met, "it was decided before"
    here.do(running("last"))
    assert [holds(jobs) for jobs in (here, there)] == [True, True]
    assert one.replay().divergence is None
    assert one.rows() == two.rows()
