"""Nobody is lost who beats, and everybody is who does not, whichever node hears of it.

A lease of 3 and a grace of 2; a beat may wait 1 in a node's memory. Time passes when nothing else
must happen first. Two nodes answer beats, and both look for leases that are over.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Part, Steps, World, either, explore, when

LEASE, GRACE, LATE = 3, 2, 1


class Leases(World):
    """One job, its lease row and the events of its stream.

    The arguments leave rules out. `checks`: a loss is committed with a statement that finds the
    row due. `due_first`: a beat that comes after the due time, as far as its node knows it, is
    written before it is answered. `at_once`: the transaction that renews a lost attempt's row
    records its return.
    """

    def __init__(
        self,
        *,
        beats: int = 2,
        until: int = 9,
        grace: int = GRACE,
        checks: bool = True,
        due_first: bool = True,
        at_once: bool = True,
        kills: int = 0,
    ) -> None:
        self.kills = kills
        self.rules = grace, checks, due_first, at_once
        self.beats, self.until = beats, until
        self.now = 0
        self.due, self.is_lost = LEASE, False
        self.events: list[str] = []
        self.heard = 0
        """When the last beat came that was answered as accepted, and was not forgotten."""
        self.written = 0
        """When the last beat came that is in the row."""
        self.is_too_early = False
        self.known_due = {"A": 0, "B": LEASE}
        """The due time that a node itself has written; after its start, none."""
        self.held: dict[str, int] = {}
        """When the last beat came that a node has answered and not written."""

    def processes(self) -> Iterator[Steps | Callable[[], Steps]]:
        yield self.producer()
        yield self.clock()
        yield self.sweeper("A")
        yield self.sweeper("B")
        yield self.node_a
        yield self.flusher("B")

    def clock(self) -> Steps:
        """Let time pass, but not while a beat has been held for as long as is allowed."""
        while self.now < self.until:
            yield when(self.may_pass, "time passes")
            self.now += 1

    def may_pass(self) -> bool:
        return all(self.now - came < LATE for came in self.held.values())

    def producer(self) -> Steps:
        nodes = "ABAB"[: self.beats]
        for nth, node in enumerate(nodes):
            yield f"{node} gets beat {nth}"
            if self.now <= self.known_due[node] or not self.rules[2]:
                self.held[node] = self.now
            else:
                yield from self.renew(node, self.now)
            self.heard = self.now

    def node_a(self) -> Steps:
        """Begin without what a killed node held: it counts as a beat that did not come."""
        self.known_due["A"] = 0
        self.held.pop("A", None)
        self.heard = self.written
        yield from self.flusher("A")

    def flusher(self, node: str) -> Steps:
        while True:
            yield when(lambda: node in self.held, f"{node} writes what it holds")
            yield from self.renew(node, self.held.pop(node))

    def renew(self, node: str, came: int) -> Part:
        """One statement; a lost attempt is taken back in its transaction."""
        self.written = max(self.written, came)
        self.due = self.known_due[node] = self.now + LEASE
        if self.is_lost:
            self.is_lost = False
            if not self.rules[3]:
                happened = yield either(f"{node} records the return", f"{node} is killed")
                if "killed" in happened:
                    return
            if self.events[-1:] == ["lost"]:
                self.events.append("returned")

    def sweeper(self, node: str) -> Steps:
        grace, checks, *_ = self.rules
        while True:
            yield when(lambda: self.is_due(grace), f"{node} finds the lease over")
            yield f"{node} commits the loss"
            if self.is_due(grace) or not checks:
                self.events.append("lost")
                self.is_lost = True
                self.is_too_early |= self.now < self.heard + LEASE + grace

    def is_due(self, grace: int) -> bool:
        return not self.is_lost and self.due + grace <= self.now

    def broken(self) -> Iterator[str]:
        if self.is_too_early:
            yield "lost too early"
        if any(
            first == second for first, second in zip(self.events, self.events[1:], strict=False)
        ):
            yield "lost or returned twice"

    def left_undone(self) -> Iterator[str]:
        if self.is_lost != (self.events[-1:] == ["lost"]):
            yield "the row and the record differ"
        if not self.is_lost and self.due + GRACE <= self.now:
            yield "never lost"


def test_nobody_is_lost_who_beats_and_everybody_is_who_does_not() -> None:
    assert not explore(Leases).trace


def test_a_killed_node_forgets_no_more_than_a_beat() -> None:
    assert not explore(lambda: Leases(kills=1)).trace


@pytest.mark.long
def test_the_same_with_more_beats() -> None:
    assert not explore(lambda: Leases(beats=3, until=12, kills=1)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Leases(checks=False), "lost too early"),
        (lambda: Leases(grace=LATE), "lost too early"),
        (lambda: Leases(due_first=False), "lost too early"),
        (lambda: Leases(at_once=False), "the row and the record differ"),
    ],
    ids=["a loss goes by what was read", "no grace", "all are held", "renewed, then returned"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
