"""What is claimed of a command is the fact, in every order of client, writer, server and network.

A small world with the writer's own turns and marks, in which everything may happen that can: the
connection is lost before or after the commit, the old session commits late or is ended, the client
waits no longer, the writer gives up. All runs are tried, one after the other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from ledger.domain.errors.store import CommitFailed, CommitPending, StoreUnreachable
from ledger.domain.outcomes import outcome_of
from ledger.store.postgres.marks import Marks
from ledger.store.writer.waiting import Turn
from tests.models import explorer
from tests.models.explorer import Steps, either, explore

LOSSES_MOST = 4
EARLIER = 3
"""The mark of the transaction before, which was acknowledged."""


@dataclass
class Session:
    """One of the server's: it has the lock until it is over."""

    pending: int | None = None
    """The mark of a transaction that it may still commit."""
    committed: bool = False
    over: bool = False


@dataclass
class World(explorer.World):
    """`finds_out` is how a writer asks after a loss whether it has committed."""

    waits_for_old_session: bool = True
    finds_out: Callable[["World"], bool] = lambda world: world.marks.is_committed(world.mark)
    mark: int = EARLIER
    facts: int = 0
    """How often the command is in the ledger."""
    turn: Turn = field(default_factory=Turn)
    marks: Marks = field(default_factory=Marks)
    sessions: list[Session] = field(default_factory=list)
    writer: str = "has it in its queue"
    losses: int = 0
    claim: str = ""
    claimed: set[tuple[str, int]] = field(default_factory=set)
    """What was claimed in all runs, and how often the command was in the ledger."""

    def __post_init__(self) -> None:
        for _ in range(EARLIER):
            self.marks.note_commit()

    def processes(self) -> Iterator[Steps]:
        yield self.everything()

    def everything(self) -> Steps:
        while options := self.options():
            self.do((yield either(*options)))

    def holds(self) -> object:
        turn = self.turn._begun, self.turn._taken.locked()
        others = self.mark, self.facts, self.sessions, self.writer, self.losses, self.claim
        return turn, self.marks._committed, others

    def left_undone(self) -> Iterator[str]:
        self.claimed.add((self.claim, self.facts))
        if self.is_lie():
            yield f"{self.facts} is claimed to be {self.claim}"

    def options(self) -> list[str]:
        found = [] if self.claim else ["the client's time is over"]
        for nth, session in enumerate(self.sessions):
            if session.pending is not None:
                found.append(f"session {nth} commits")
                if self.may_end(session):
                    found.append(f"session {nth} is ended")
        newest = self.sessions[-1] if self.sessions else Session()
        match self.writer:
            case "has it in its queue":
                found.append("the writer begins")
            case "waits for the server":
                if newest.committed:
                    found.append("the server answers")
                if self.losses < LOSSES_MOST:
                    found.append("the connection is lost")
            case "has lost the connection":
                found.append("the writer gives up")
                if newest.over or not self.waits_for_old_session:
                    found.append("the writer reconnects")
                elif newest.pending is None:
                    found.append(f"session {len(self.sessions) - 1} is ended")
        return found

    def waits_for(self, session: Session) -> bool:
        return self.writer == "waits for the server" and session is self.sessions[-1]

    def may_end(self, session: Session) -> bool:
        """An administrator ends sessions, but not for ever."""
        return not self.waits_for(session) or self.losses < LOSSES_MOST

    def do(self, step: str) -> None:
        match step.split():
            case ["the", "client's", *_]:
                late = StoreUnreachable("late") if self.turn.withdraw() else CommitPending()
                self.tell(outcome_of(late))
            case ["the", "writer", "begins"]:
                self.writer = "is done"
                if self.turn.begin():
                    self.send()
            case ["the", "server", "answers"]:
                self.marks.note_commit()
                self.succeed()
            case ["the", "connection", *_]:
                self.losses += 1
                self.writer = "has lost the connection"
                if self.sessions[-1].pending is None and not self.sessions[-1].committed:
                    self.sessions[-1].over = True
            case ["the", "writer", "gives", "up"]:
                self.writer = "is done"
                self.tell(outcome_of(CommitFailed("a minute is over")))
            case ["the", "writer", "reconnects"]:
                if self.finds_out(self):
                    self.succeed()
                else:
                    self.send()
            case ["session", nth, "commits"]:
                session = self.sessions[int(nth)]
                assert session.pending is not None
                self.mark, session.pending, session.committed = session.pending, None, True
                self.facts += 1
            case ["session", nth, "is", "ended"]:
                session = self.sessions[int(nth)]
                session.pending, session.over = None, True
                if self.waits_for(session):
                    self.losses += 1
                    self.writer = "has lost the connection"

    def send(self) -> None:
        self.sessions.append(Session(pending=EARLIER + 1))
        self.writer = "waits for the server"

    def succeed(self) -> None:
        self.writer = "is done"
        self.tell("recorded")

    def tell(self, claim: str) -> None:
        self.claim = self.claim or claim

    def is_lie(self) -> bool:
        allowed = {"recorded": (1,), "not-recorded": (0,), "unknown": (0, 1)}
        return self.facts not in allowed[self.claim]


def test_every_claim_is_the_fact() -> None:
    claimed: set[tuple[str, int]] = set()
    assert explore(lambda: World(claimed=claimed)).trace == ()
    assert claimed == {("recorded", 1), ("not-recorded", 0), ("unknown", 0), ("unknown", 1)}


@pytest.mark.parametrize(
    "world",
    [
        lambda: World(waits_for_old_session=False),
        lambda: World(finds_out=lambda _: False),
        lambda: World(finds_out=lambda _: True),
    ],
    ids=["it asks too early", "as if nothing were there", "as if all were there"],
)
def test_another_way_to_find_out_lies(world: Callable[[], World]) -> None:
    assert "is claimed to be" in explore(world).broken


@pytest.mark.parametrize("found", [1, EARLIER - 1])
def test_what_was_acknowledged_and_is_gone_is_missed(found: int) -> None:
    """As after a failover to a standby that has not all."""
    with pytest.raises(Exception, match="was acknowledged is gone"):
        World(mark=found).finds_out(World(mark=found))
