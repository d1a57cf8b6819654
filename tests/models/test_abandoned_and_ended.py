"""An end that was acknowledged is never changed, and no job is ended as lost that was heard of."""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Steps, World, explore, when
from tests.models.ledger import Ledger, among

ENDS = ("succeeded", "failed", "abandoned")


class Job(Ledger):
    """A job that is silent for a while: reports, two ends and two abandonments meet.

    `after` is how long it is lost before it is abandoned. The arguments leave rules out.
    `checks_row`: an abandonment is committed with a statement that finds the row due.
    `of_lost`: that row is due a time after the loss, not after the last report.
    """

    def __init__(
        self,
        *,
        beats: int = 1,
        outcomes: tuple[str, ...] = ("succeeded",),
        abandoners: str = "B",
        lease: int = 1,
        after: int = 2,
        checks_row: bool = True,
        of_lost: bool = True,
        checks_versions: bool = True,
    ) -> None:
        super().__init__(checks_versions=checks_versions)
        self.times = lease, after, lease + after + 1
        self.rules = checks_row, of_lost
        self.beats, self.outcomes, self.abandoners = beats, outcomes, abandoners
        self.now = self.heard = 0
        self.lost_at: int | None = None
        self.answers: list[str] = []
        self.is_wrong = ""

    def processes(self) -> Iterator[Steps]:
        yield self.clock()
        yield self.sweeper()
        yield self.reporter()
        for node, outcome in zip("AB", self.outcomes, strict=False):
            yield self.ender(node, outcome)
        for node in self.abandoners:
            yield self.abandoner(node)

    def is_over(self) -> bool:
        return any(among(self.stream("job"), ENDS))

    def clock(self) -> Steps:
        while self.now < self.times[2]:
            yield "time passes"
            self.now += 1

    def sweeper(self) -> Steps:
        while not self.is_over():
            yield when(self.is_due, "the attempt is lost")
            self.stream("job").append("lost")
            self.lost_at = self.now

    def is_due(self) -> bool:
        due = self.heard + self.times[0]
        return self.lost_at is None and due <= self.now and not self.is_over()

    def reporter(self) -> Steps:
        """Report, and take the loss back: by one statement, or with an event."""
        for beat in range(self.beats):
            yield f"beat {beat} comes"
            if self.lost_at is not None:
                yield from self.decide("A", "job", self.returned, self.renewed)
            elif not self.is_over():
                self.renewed()

    def returned(self) -> list[str]:
        return [] if self.is_over() or self.lost_at is None else ["returned"]

    def renewed(self) -> bool:
        self.heard, self.lost_at = self.now, None
        return True

    def ender(self, node: str, outcome: str) -> Steps:
        yield from self.decide(node, "job", lambda: self.end(outcome))
        self.answers.append(self.answer(outcome))

    def end(self, outcome: str) -> list[str]:
        events = self.stream("job")
        if not self.is_over():
            return [outcome]
        is_first = "abandoned" in events and not any(among(events, ["late"]))
        return [f"late {outcome}"] if is_first else []

    def answer(self, outcome: str) -> str:
        events = self.stream("job")
        return outcome if outcome in events or f"late {outcome}" in events else "job-over"

    def abandoner(self, node: str) -> Steps:
        yield when(self.is_abandoned, f"{node} finds it to be abandoned")
        if not (yield from self.decide(node, "job", self.abandon, self.still)):
            return
        if self.lost_at is None:
            self.is_wrong = "abandoned and not lost"
        if self.now < self.heard + self.times[1]:
            self.is_wrong = "abandoned and heard of"

    def is_abandoned(self) -> bool:
        since = self.lost_at if self.rules[1] else self.heard
        return since is not None and self.now >= since + self.times[1]

    def abandon(self) -> list[str]:
        return [] if self.is_over() else ["abandoned"]

    def still(self) -> bool:
        return self.is_abandoned() or not self.rules[0]

    def broken(self) -> Iterator[str]:
        events = self.stream("job")
        if self.is_wrong:
            yield self.is_wrong
        if len([*among(events, ENDS)]) > 1:
            yield "ended twice"
        if len([*among(events, ["late"])]) > 1:
            yield "late twice"
        if any(self.answer(said) != said for said in self.answers if said != "job-over"):
            yield "changed after it was acknowledged"

    def left_undone(self) -> Iterator[str]:
        if self.answers and set(self.answers) == {"job-over"}:
            yield "no outcome is recorded"


class Below(Ledger):
    """A lost job, and below the job below it one that returns.

    `guards` is whether the return raises the guard of the root that the abandonment rests on.
    """

    def __init__(self, *, guards: bool = True) -> None:
        super().__init__()
        self.guards = guards
        self.guard = 0
        self.beats = False
        self.abandoned_at_last = False

    def processes(self) -> Iterator[Steps]:
        yield self.child()
        yield self.abandoner()

    def child(self) -> Steps:
        while not self.beats:
            yield "A reads the guard"
            guard = self.guard
            yield "A records the child's return"
            if guard == self.guard or not self.guards:
                self.guard += self.guards
                self.beats = True

    def abandoner(self) -> Steps:
        while True:
            yield "B reads the guard"
            guard = self.guard
            yield "B looks at what is below"
            if self.beats:
                return
            yield "B abandons the root"
            if guard == self.guard or not self.guards:
                self.guard += self.guards
                self.abandoned_at_last = self.beats
                self.stream("root").append("abandoned")
                return

    def broken(self) -> Iterator[str]:
        if self.abandoned_at_last:
            yield "abandoned above one that beats"


class Late(Ledger):
    """Attempt 1 was replaced by attempt 2, which was lost. Both tell of their end afterwards.

    `compares` is whether an end of a replaced attempt is refused, also when the job is over.
    """

    def __init__(self, *, compares: bool = True) -> None:
        super().__init__()
        self.compares = compares
        self.streams = {"job": ["lost"]}

    def processes(self) -> Iterator[Steps]:
        yield self.abandoner()
        yield self.ender("A", 1, "failed")
        yield self.ender("B", 2, "succeeded")

    def abandoner(self) -> Steps:
        yield from self.decide("A", "job", lambda: [] if self.is_over() else ["abandoned"])

    def is_over(self) -> bool:
        return any(among(self.stream("job"), ENDS))

    def ender(self, node: str, attempt: int, outcome: str) -> Steps:
        yield from self.decide(node, "job", lambda: self.end(attempt, outcome))

    def end(self, attempt: int, outcome: str) -> list[str]:
        events = self.stream("job")
        if attempt == 1 and (self.compares or not self.is_over()):
            return []
        if not self.is_over():
            return [outcome]
        is_first = "abandoned" in events and not any(among(events, ["late"]))
        return [f"late {outcome}"] if is_first else []

    def left_undone(self) -> Iterator[str]:
        if not {"succeeded", "late succeeded"} & {*self.stream("job")}:
            yield "a success is shown as a failure"


def test_nobody_is_abandoned_who_was_heard_of() -> None:
    assert not explore(Job).trace


def test_an_end_stays_if_two_outcomes_are_told() -> None:
    assert not explore(lambda: Job(beats=0, outcomes=("succeeded", "failed"))).trace


def test_a_success_is_never_shown_as_a_failure_alone() -> None:
    assert not explore(Late).trace


def test_two_nodes_abandon_it_once() -> None:
    assert not explore(lambda: Job(beats=0, abandoners="AB")).trace


def test_a_lost_job_is_not_abandoned_above_one_that_beats() -> None:
    assert not explore(Below).trace


@pytest.mark.long
def test_all_of_it_at_once() -> None:
    assert not explore(lambda: Job(outcomes=("succeeded", "failed"), abandoners="AB")).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Job(checks_row=False, outcomes=()), "abandoned and heard of"),
        (lambda: Job(of_lost=False, lease=3), "abandoned and not lost"),
        (lambda: Job(checks_versions=False, beats=0), "ended twice"),
        (lambda: Late(compares=False), "a success is shown as a failure"),
        (lambda: Below(guards=False), "abandoned above one that beats"),
    ],
    ids=["by what was read", "from the last report", "no versions", "any attempt", "no guard"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
