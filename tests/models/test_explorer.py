"""The explorer plays every interleaving, and the shortest one that breaks a promise."""

from collections.abc import Callable, Iterator

from tests.models.explorer import Steps, World, either, explore, when


class Counting(World):
    """Two processes add to a number that they have read."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.number = 0

    def processes(self) -> Iterator[Steps]:
        yield self.adder("first")
        yield self.adder("second")

    def adder(self, name: str) -> Steps:
        yield f"{name} reads"
        read = self.number
        if not self.at_once:
            yield f"{name} writes"
        self.number = read + 1

    def left_undone(self) -> Iterator[str]:
        if self.number != 2:
            yield f"{self.number} instead of 2"


class Forgetful(World):
    """One adds, and remembers that it has; it may be killed."""

    def __init__(self, kills: int) -> None:
        self.kills, self.number = kills, 0

    def processes(self) -> Iterator[Callable[[], Steps]]:
        yield self.adder

    def adder(self) -> Steps:
        has_added = False
        while not has_added:
            yield "it adds"
            self.number += 1
            has_added = True
            yield "it stops"

    def broken(self) -> Iterator[str]:
        if self.number > 1:
            yield "added twice"


class Walkers(World):
    """Three that have nothing to do with each other take three steps each."""

    def processes(self) -> Iterator[Steps]:
        for _ in range(3):
            yield self.walker()

    def walker(self) -> Steps:
        for step in range(3):
            yield f"step {step}"


class Waiting(World):
    """One waits for what the other may do."""

    def __init__(self) -> None:
        self.is_open = False

    def processes(self) -> Iterator[Steps]:
        yield self.waiter()
        yield self.opener()

    def waiter(self) -> Steps:
        yield when(lambda: self.is_open, "it passes")
        self.is_open = False

    def opener(self) -> Steps:
        self.is_open = (yield either("it is opened", "it stays shut")) == "it is opened"

    def left_undone(self) -> Iterator[str]:
        if self.is_open:
            yield "nobody passed"


def test_the_shortest_trace_is_found() -> None:
    found = explore(Counting)
    assert found.broken == "1 instead of 2"
    assert found.trace == ("first reads", "second reads", "first writes", "second writes")


def test_what_happens_at_once_is_not_divided() -> None:
    assert explore(lambda: Counting(at_once=True)).trace == ()


def test_a_kill_takes_the_memory_and_begins_anew() -> None:
    assert explore(lambda: Forgetful(kills=0)).trace == ()
    assert explore(lambda: Forgetful(kills=1)).trace == ("it adds", "adder is killed", "it adds")


def test_each_state_is_played_on_once() -> None:
    """Of 1,680 interleavings."""
    assert explore(Walkers).states == 4**3


def test_a_step_waits_until_it_is_ready_and_chance_decides_both_ways() -> None:
    found = explore(Waiting)
    assert found.trace == ()
    assert found.states == 4, "opened, passed, shut, and the beginning"
