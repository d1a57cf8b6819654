"""An end is recorded once and told truly, whoever is killed and whatever the network loses.

A killed service is a request that is lost before its commit, or an answer that is lost after it. A
killed producer is begun anew, and delivers what its spool holds: that it cannot know better.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Steps, World, explore
from tests.models.ledger import Ledger


class Ends(Ledger):
    """A producer and a second one that ends the same job otherwise, each at its node.

    The arguments leave rules out. `looks`: a node looks whether the job is over. `compares`: only
    the same outcome is answered as accepted. `commits_first`: a node answers after its commit.
    `spools_first`: an end is in the spool before it is sent, and until it is answered.
    """

    def __init__(
        self,
        *,
        losses: int = 2,
        kills: int = 1,
        looks: bool = True,
        compares: bool = True,
        commits_first: bool = True,
        spools_first: bool = True,
    ) -> None:
        super().__init__()
        self.rules = looks, compares, commits_first, spools_first
        self.losses, self.kills = losses, kills
        self.was_begun = False
        self.spool: list[str] = []
        self.told: dict[str, str] = {}

    def processes(self) -> Iterator[Steps | Callable[[], Steps]]:
        yield self.producer
        yield self.sender("B", "failed")

    def producer(self) -> Steps:
        """Write the end into the spool, once; deliver what is in it."""
        if not self.was_begun:
            yield "the producer's work is done"
            self.was_begun = True
            if self.rules[3]:
                self.spool.append("succeeded")
            else:
                yield from self.sender("A", "succeeded")
        if self.spool:
            yield from self.sender("A", "succeeded")
            yield "the spool is emptied"
            self.spool.clear()

    def sender(self, node: str, outcome: str) -> Steps:
        """Send it until it is answered."""
        while True:
            yield f"{outcome} is sent"
            if (yield from self.is_lost("the request is lost")):
                continue
            if not self.rules[2]:
                self.told[outcome] = outcome
                if (yield from self.is_lost(f"{node} is killed")):
                    return
            yield from self.decide(node, "job", lambda: self.end(outcome))
            recorded = self.stream("job")[0]
            if (yield from self.is_lost("the answer is lost")):
                continue
            is_accepted = recorded == outcome or not self.rules[1]
            self.told[outcome] = outcome if is_accepted else "job-over"
            return

    def end(self, outcome: str) -> list[str]:
        return [outcome] if not self.stream("job") or not self.rules[0] else []

    def broken(self) -> Iterator[str]:
        events = self.stream("job")
        if len(events) > 1:
            yield "ended twice"
        for outcome, told in self.told.items():
            if told == "job-over" and outcome in events:
                yield "refused and recorded"
            if events and told == outcome and outcome not in events:
                yield "accepted and not recorded"

    def left_undone(self) -> Iterator[str]:
        if "succeeded" not in self.told:
            yield "an end is lost"
        if not self.stream("job"):
            yield "accepted and not recorded"


def test_an_end_is_recorded_once_and_told_truly() -> None:
    assert not explore(Ends).trace


@pytest.mark.long
def test_the_same_with_more_losses() -> None:
    assert not explore(lambda: Ends(losses=6, kills=3)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Ends(looks=False), "ended twice"),
        (lambda: Ends(compares=False), "accepted and not recorded"),
        (lambda: Ends(commits_first=False), "accepted and not recorded"),
        (lambda: Ends(spools_first=False), "an end is lost"),
    ],
    ids=["does not look", "accepts another", "answers first", "sends first"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
