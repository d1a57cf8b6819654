"""A group ends exactly once: when it is sealed and each of its children has ended."""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from tests.models.explorer import Steps, World, explore, when
from tests.models.ledger import Ledger, among

ENDS = ("succeeded", "failed", "cancelled", "lost")
Outcome = Literal["succeeded", "failed", "cancelled"]


class Group(Ledger):
    """Children that end through two nodes, one that registers meanwhile, a seal or a request.

    A child's end is recorded in one transaction with what it means for the group. The arguments
    leave rules out. `own_children`: a group asks for its children only, not for what is below
    them, whose ends write nothing. `requests_seal`: what a request has sealed is not asked for the
    number that was expected. `counts`: the expected number of children seals.
    """

    def __init__(
        self,
        outcomes: tuple[Outcome, ...] = ("succeeded", "failed"),
        *,
        joins: bool = True,
        seals: bool = True,
        cancels: bool = False,
        expected: int = 0,
        is_deep: bool = False,
        own_children: bool = True,
        requests_seal: bool = True,
        counts: bool = True,
        checks_versions: bool = True,
        gives_up: bool = False,
    ) -> None:
        super().__init__(checks_versions=checks_versions, gives_up=gives_up)
        self.rules = own_children, requests_seal, counts
        self.outcomes = outcomes
        self.happens = joins, seals, cancels
        self.expected = expected
        self.runs_below = is_deep
        """Whether a job runs below the first child."""
        self.streams = {"group": [f"attached {nth}" for nth in range(len(outcomes))]}

    def processes(self) -> Iterator[Steps]:
        joins, seals, cancels = self.happens
        for nth, outcome in enumerate(self.outcomes):
            yield self.child(nth, outcome, "AB"[nth % 2])
        if joins:
            yield self.joiner(len(self.outcomes))
        if seals:
            yield self.decider("A", lambda: self.seal("sealed"))
        if cancels:
            yield self.decider("B", lambda: self.seal("requested"))
        if self.runs_below:
            yield self.grandchild()

    def decider(self, node: str, decision: Callable[[], list[str]]) -> Steps:
        yield from self.decide(node, "group", decision)

    def child(self, nth: int, outcome: Outcome, node: str) -> Steps:
        yield from self.decide(node, "group", lambda: self.and_end(f"ended {nth} {outcome}"))

    def grandchild(self) -> Steps:
        yield when(lambda: self.runs_below, "the grandchild ends")
        self.runs_below = False

    def joiner(self, nth: int) -> Steps:
        """Register a child more, and end it."""
        if (yield from self.decide("B", "group", lambda: self.attach(nth))):
            yield from self.child(nth, "succeeded", "B")

    def attach(self, nth: int) -> list[str]:
        if self.is_sealed():
            return []
        number = len(self.found("attached")) + 1
        is_full = number == self.expected and self.rules[2]
        return [f"attached {nth}", *(["sealed"] if is_full else [])]

    def seal(self, how: str) -> list[str]:
        return [] if self.is_sealed() else self.and_end(how)

    def and_end(self, event: str) -> list[str]:
        """This event, and the group's end if it follows."""
        events = [*self.stream("group"), event]
        running = len([*among(events, ["attached"])]) - len([*among(events, ["ended"])])
        if not any(among(events, ["sealed", "requested"])) or running:
            return [event]
        if self.runs_below and not self.rules[0]:
            return [event]
        return [event, self.outcome(events)]

    def outcome(self, events: list[str]) -> str:
        children = [each.split()[-1] for each in among(events, ["ended"])]
        if len(children) < self.expected:
            is_asked = "requested" in events and self.rules[1]
            if not is_asked:
                return "lost"
            children.append("cancelled")
        if not children and "requested" in events:
            return "cancelled"
        return next((each for each in ("failed", "cancelled") if each in children), "succeeded")

    def found(self, kind: str) -> list[str]:
        return [*among(self.stream("group"), [kind])]

    def is_sealed(self) -> bool:
        return any(among(self.stream("group"), ["sealed", "requested"]))

    def broken(self) -> Iterator[str]:
        ends = [*among(self.stream("group"), ENDS)]
        if len(ends) > 1:
            yield "ends twice"
        if ends and self.stream("group")[-1] not in ENDS:
            yield "goes on after its end"
        if self.is_refused:
            yield "a child's end is refused"
        if "lost" in ends and self.happens[2] and "requested" in self.stream("group"):
            yield "cancelled and shown as lost"

    def left_undone(self) -> Iterator[str]:
        is_full = self.expected and len(self.found("ended")) == self.expected
        if (self.is_sealed() or is_full) and not any(among(self.stream("group"), ENDS)):
            yield "never ends"


WORLDS: dict[str, Callable[[], Group]] = {
    "sealed": lambda: Group(("failed",)),
    "cancelled": lambda: Group(("failed",), seals=False, cancels=True),
    "sealed and cancelled": lambda: Group(joins=False, cancels=True),
    "empty and cancelled": lambda: Group((), cancels=True),
    "expects two": lambda: Group(("failed",), seals=False, expected=2),
    "expects two, is cancelled": lambda: Group(
        ("succeeded",), seals=False, cancels=True, expected=2
    ),
    "jobs below its children": lambda: Group(joins=False, is_deep=True),
}


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_a_group_ends_exactly_once(make: Callable[[], Group]) -> None:
    assert not explore(make).trace


@pytest.mark.long
def test_the_same_with_more_children() -> None:
    assert not explore(Group).trace
    assert not explore(lambda: Group(cancels=True)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Group(joins=False, checks_versions=False), "never ends"),
        (lambda: Group(joins=False, gives_up=True), "a child's end is refused"),
        (lambda: Group(joins=False, is_deep=True, own_children=False), "never ends"),
        (
            lambda: Group(seals=False, cancels=True, expected=3, requests_seal=False),
            "cancelled and shown as lost",
        ),
        (lambda: Group(seals=False, expected=3, counts=False), "never ends"),
    ],
    ids=["no versions", "gives up", "asks below", "counts after a request", "not sealed when full"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
