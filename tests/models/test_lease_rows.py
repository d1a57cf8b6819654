"""A lease row is there exactly as long as its attempt runs, also after a restore."""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Steps, World, explore, when
from tests.models.ledger import Ledger


class Rows(Ledger):
    """An attempt that runs and has no row: it was restored. It ends while a node starts.

    The arguments leave rules out. `makes_rows`: a start makes the rows that are missing.
    `drops_rows`: who finds a row whose job is over removes it. `only_updates`: a beat renews a row
    that is there, and makes none.
    """

    def __init__(
        self,
        *,
        ends: bool = True,
        has_row: bool = False,
        makes_rows: bool = True,
        drops_rows: bool = True,
        only_updates: bool = True,
    ) -> None:
        super().__init__()
        self.rules = makes_rows, drops_rows, only_updates
        self.ends, self.has_row = ends, has_row
        self.starts = not has_row

    def processes(self) -> Iterator[Steps]:
        if self.starts:
            yield self.start()
        else:
            yield self.beat()
        if self.ends:
            yield self.end()
        yield self.sweeper()

    def start(self) -> Steps:
        yield "A looks for attempts without a row"
        is_missing = not self.stream("job") and not self.has_row and self.rules[0]
        yield "A makes the row"
        self.has_row |= is_missing

    def beat(self) -> Steps:
        """A node that does not know of the end renews the lease."""
        yield "A renews the lease"
        self.has_row = self.has_row or not self.rules[2]

    def end(self) -> Steps:
        yield "B commits the end, and removes the row"
        self.stream("job").append("succeeded")
        self.has_row = False

    def sweeper(self) -> Steps:
        while True:
            yield when(self.is_to_do, "B finds the row due")
            if self.is_over():
                self.has_row = False
            else:
                yield from self.decide("B", "job", self.loss, lambda: self.has_row)

    def is_to_do(self) -> bool:
        return self.has_row and (self.rules[1] if self.is_over() else not self.stream("job"))

    def is_over(self) -> bool:
        return "succeeded" in self.stream("job")

    def loss(self) -> list[str]:
        return [] if self.stream("job") else ["lost"]

    def broken(self) -> Iterator[str]:
        if self.stream("job")[:2] == ["succeeded", "lost"]:
            yield "lost after its end"

    def left_undone(self) -> Iterator[str]:
        if not self.ends and "lost" not in self.stream("job"):
            yield "never lost"
        if self.is_over() and self.has_row:
            yield "a row is left"


def test_an_attempt_that_was_restored_is_lost_if_it_is_silent() -> None:
    assert not explore(lambda: Rows(ends=False)).trace


@pytest.mark.parametrize("has_row", [False, True])
def test_a_row_of_an_attempt_that_is_over_goes(has_row: bool) -> None:  # noqa: FBT001
    assert not explore(lambda: Rows(has_row=has_row)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Rows(ends=False, makes_rows=False), "never lost"),
        (lambda: Rows(drops_rows=False), "a row is left"),
        (lambda: Rows(has_row=True, drops_rows=False, only_updates=False), "a row is left"),
    ],
    ids=["no fresh row", "not dropped", "a beat makes one"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
