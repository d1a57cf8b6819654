"""A stream that was discarded never gets another event: no label, no late report, no new beginning.

A guard is as in the store: raised from the version that was read, or inserted if it has no row.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Steps, World, explore, when


class Discard(World):
    """An ended job that is labelled and late-reported while it is discarded and compacted.

    The arguments leave rules out. `guards`: who appends behind an end raises the guard of the tree,
    and a discard rests on it as it was when the rows were read. `unspent`: who appends behind an
    end rests on the job's id not being spent, which is checked in the transaction.
    """

    def __init__(
        self,
        writers: tuple[str, ...] = ("label", "late report"),
        *,
        guards: bool = True,
        unspent: bool = True,
    ) -> None:
        self.rules = guards, unspent
        self.writers = writers
        self.events = ["created", "ended"]
        self.rows = {"job"}
        self.archive: list[str] = []
        self.guard: int | None = None
        self.is_spent = False
        self.acknowledged: list[str] = []
        self.is_wrong = ""

    def processes(self) -> Iterator[Steps]:
        for nth, kind in enumerate(self.writers):
            yield self.writer("AB"[nth % 2], kind)
        yield self.sweep()
        yield self.compaction()

    def writer(self, node: str, kind: str) -> Steps:
        while not self.is_spent:
            yield f"{node} reads guard and job for a {kind}"
            guard = self.guard or 0
            yield f"{node} commits a {kind}"
            if (self.is_spent and self.rules[1]) or not self.may_raise(guard):
                continue
            if self.is_spent:
                self.is_wrong = f"a {kind} follows the discard"
            self.events.append(kind)
            self.rows = self.rows | {kind}
            self.acknowledged.append(kind)
            return

    def may_raise(self, guard: int) -> bool:
        """Raise the guard from this version; return False for a conflict."""
        if self.rules[0] and self.guard not in (None, guard):
            return False
        self.guard = guard + 1
        return True

    def sweep(self) -> Steps:
        while not self.is_spent:
            yield "B reads guard and rows for a discard"
            guard, rows = self.guard or 0, sorted(self.rows)
            yield "B commits the discard"
            if self.may_raise(guard):
                self.is_spent = True
                self.rows = self.rows - {*rows}

    def compaction(self) -> Steps:
        yield when(lambda: self.is_spent, "the archive is written")
        self.archive = [*self.events]
        yield "events and guard are removed"
        self.events.clear()
        self.guard = None

    def broken(self) -> Iterator[str]:
        if self.is_wrong:
            yield self.is_wrong
        if self.is_spent and self.rows:
            yield "a row is left"

    def left_undone(self) -> Iterator[str]:
        if {*self.acknowledged} - {*self.archive}:
            yield "what was acknowledged is lost"


class Spent(World):
    """A uuid that is registered again, through another node, while its job is discarded.

    The arguments leave rules out. `in_transaction`: the transaction that begins a stream fails if
    its id is spent; the node asks before, in any case. `spends_all`: ids that the service drew are
    spent, too.
    """

    def __init__(
        self, *, is_drawn: bool = False, in_transaction: bool = True, spends_all: bool = True
    ) -> None:
        self.rules = in_transaction, spends_all
        self.is_drawn = is_drawn
        self.events = ["created", "ended"]
        self.is_discarded = self.is_spent = False
        self.is_wrong = ""
        self.answer = ""

    def processes(self) -> Iterator[Steps]:
        yield self.sweep()
        yield self.client()

    def sweep(self) -> Steps:
        yield "A commits the discard"
        self.is_discarded = True
        self.is_spent = self.rules[1] or not self.is_drawn
        yield "the events are removed"
        self.events.clear()

    def client(self) -> Steps:
        while True:
            yield "B asks whether the id is spent"
            if self.is_spent:
                self.answer = "job-discarded"
                return
            yield "B reads the stream"
            if self.events:
                self.answer = "already-registered"
                return
            yield "B begins the stream"
            if self.events or (self.is_spent and self.rules[0]):
                continue
            if self.is_discarded:
                self.is_wrong = "a discarded stream begins again"
            self.events.append("created again")
            return

    def broken(self) -> Iterator[str]:
        if self.is_wrong:
            yield self.is_wrong


def test_nothing_follows_a_discard_and_nothing_acknowledged_is_lost() -> None:
    assert not explore(Discard).trace


@pytest.mark.parametrize("is_drawn", [False, True])
def test_a_discarded_id_is_not_registered_again(is_drawn: bool) -> None:  # noqa: FBT001
    assert not explore(lambda: Spent(is_drawn=is_drawn)).trace


@pytest.mark.long
def test_the_same_with_more_writers() -> None:
    writers = "label", "late report", "other label"
    assert not explore(lambda: Discard(writers)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Discard(guards=False), "a row is left"),
        (lambda: Discard(unspent=False), "a label follows the discard"),
        (lambda: Spent(in_transaction=False), "a discarded stream begins again"),
        (lambda: Spent(is_drawn=True, spends_all=False), "a discarded stream begins again"),
    ],
    ids=["no guard", "only the guard", "asked before", "chosen ids only"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
