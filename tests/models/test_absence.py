"""While the service is away no lease runs: nobody is lost who beats, and everybody is who does not.

One row says when the service was last there. All due times are in the time that it was there: wall
time, less what the row says that it was away. A tick is 2.5 s: a lease of 15 s, beats every 5 s, a
grace of 5 s. A node that stops and starts stands for a crash, and for a process that stood still.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from tests.models.explorer import Steps, World, explore, when

LEASE, BEAT, GRACE = 6, 2, 2
AGAIN = 1
"""A beat that is not answered is sent again so soon."""
WRITTEN = 1
"""The row is written as often as this, by any node."""
COUNTED = 1
"""So much at most counts between two writes of the row."""
STALE = 6
"""Under the rule that counts all or nothing: from here on nothing."""

Rule = Literal["at most a little counts", "all or nothing counts", "starts count", "all counts"]


class Absence(World):
    """A node that is stopped and started, perhaps beside a healthy one; a clock that jumps.

    `together` is whether the row is written in the transaction that goes by it.
    """

    def __init__(
        self,
        rule: Rule = "at most a little counts",
        *,
        beats: bool,
        stops: int = 1,
        is_alone: bool = True,
        jumps: tuple[int, ...] = (),
        together: bool = True,
        until: int = 12,
    ) -> None:
        self.rule, self.beats, self.together, self.until = rule, beats, together, until
        self.stops, self.jumps = stops, jumps
        self.now = self.seen = self.away = 0
        self.up = {"A"} if is_alone else {"A", "B"}
        self.due, self.is_lost = LEASE, False
        self.next_beat = BEAT

    def processes(self) -> Iterator[Steps]:
        yield self.clock()
        yield self.presence()
        yield self.crashes()
        for node in sorted(self.up):
            yield self.sweeper(node)
        if self.beats:
            yield self.producer()
        if self.jumps:
            yield self.jump()

    def clock(self) -> Steps:
        """Let time pass once those who must act at this moment have."""
        while self.now < self.until:
            yield when(self.may_pass, "time passes")
            self.now += 1

    def may_pass(self) -> bool:
        is_noted = not self.up or 0 <= self.now - self.seen < WRITTEN
        return is_noted and not (self.beats and self.now >= self.next_beat)

    def presence(self) -> Steps:
        while True:
            yield when(lambda: bool(self.up) and self.now != self.seen, "the row is written")
            self.be_there()

    def be_there(self) -> None:
        gap = self.now - self.seen
        match self.rule:
            case "at most a little counts":
                self.away += gap - min(max(gap, 0), COUNTED)
            case "all or nothing counts":
                self.away += gap if gap > STALE else 0
            case "starts count" | "all counts":
                pass
        self.seen = self.now

    def crashes(self) -> Steps:
        for nth in range(self.stops):
            yield f"A stops ({nth})"
            self.up = self.up - {"A"}
            stopped = self.now
            yield when(lambda stopped=stopped: self.now > stopped, f"A starts ({nth})")
            self.up = self.up | {"A"}
            if self.rule == "starts count":
                self.away += self.now - stopped

    def jump(self) -> Steps:
        for by in self.jumps:
            yield f"the wall clock jumps by {by}"
            self.now += by
            self.until += by
            self.next_beat += by

    def producer(self) -> Steps:
        """Beat, whether somebody answers or not."""
        while True:
            yield when(lambda: self.now >= self.next_beat, "a beat is sent")
            self.next_beat = self.now + (BEAT if self.up else AGAIN)
            if self.up:
                self.be_there()
                self.due = self.now - self.away + LEASE

    def sweeper(self, node: str) -> Steps:
        while not self.is_lost:
            yield when(lambda: self.is_due() and node in self.up, f"{node} finds the lease over")
            self.be_there()
            if not self.together:
                yield f"{node} commits the loss"
            self.is_lost = self.is_due() and node in self.up

    def is_due(self) -> bool:
        return self.due + GRACE <= self.now - self.away

    def broken(self) -> Iterator[str]:
        if self.beats and self.is_lost:
            yield "lost while it beats"

    def left_undone(self) -> Iterator[str]:
        if not self.beats and not self.is_lost:
            yield "never lost"


@pytest.mark.parametrize("jumps", [(), (9,), (-9,)], ids=["no jump", "asleep", "set back"])
def test_nobody_is_lost_who_beats(jumps: tuple[int, ...]) -> None:
    assert not explore(lambda: Absence(beats=True, jumps=jumps)).trace


@pytest.mark.parametrize("jumps", [(), (9,), (-9,)], ids=["no jump", "asleep", "set back"])
def test_everybody_is_lost_who_does_not(jumps: tuple[int, ...]) -> None:
    assert not explore(lambda: Absence(beats=False, jumps=jumps, stops=0)).trace


@pytest.mark.parametrize("beats", [False, True])
def test_a_node_may_crash_again_and_again_beside_a_healthy_one(beats: bool) -> None:  # noqa: FBT001
    assert not explore(lambda: Absence(beats=beats, stops=2, is_alone=False)).trace


@pytest.mark.long
def test_two_absences_and_a_sleep() -> None:
    assert not explore(lambda: Absence(beats=True, stops=2, jumps=(9,))).trace


@pytest.mark.long
def test_three_crashes_and_a_sleep_beside_a_healthy_node() -> None:
    beside = lambda: Absence(beats=True, stops=3, jumps=(9,), is_alone=False, until=16)  # noqa: E731
    assert not explore(beside).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Absence("all counts", beats=True), "lost while it beats"),
        (lambda: Absence("all or nothing counts", beats=True), "lost while it beats"),
        (lambda: Absence("all or nothing counts", beats=False, jumps=(-9,)), "never lost"),
        (lambda: Absence("starts count", beats=False, is_alone=False, stops=2), "never lost"),
        (lambda: Absence(beats=True, jumps=(9,), together=False), "lost while it beats"),
    ],
    ids=["absence counts", "a short one counts", "never back", "each start", "two transactions"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
