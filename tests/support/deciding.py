"""Given what has happened, when a command comes, then this follows: decisions without a store.

    given(ready_drive("d")).when(DeleteDrives(ME, ("d",))).then(Fact("drive-d", DriveDeleted()))

Every event, given or decided, must also be legal in the eyes of an auditor
(`ledger.domain.event_rules`).
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple, Self, get_args

import pytest

from ledger.domain.aggregates.relations import Relations
from ledger.domain.commands import Command
from ledger.domain.context import Change, Discarded, Fact, ImageData
from ledger.domain.decisions import decide
from ledger.domain.errors import Refusal
from ledger.domain.event_rules import violation
from ledger.domain.events import Event, Recorded
from ledger.domain.producers.external_ids import ExternalId
from ledger.domain.quotas import Holding
from ledger.store.seam import Rows
from ledger.store.unit_of_work import NO_STREAM, CachedRelations, CachedStream, UnitOfWork
from tests.support.world import START, Foreseen

History = Fact | Command | Iterable["History"]
"""The history: events, accepted commands, and any nesting of them."""

_COMMANDS = get_args(Command)


class _Nothing:
    """The state before the first event, and a projection without rows."""

    def cached_stream(self, stream: str) -> CachedStream:
        return NO_STREAM

    def cached_relations(self, uuid: str) -> CachedRelations:
        return CachedRelations(0, Relations())

    def is_new(self, stream: str) -> bool:
        return False

    def guard_now(self, _: str) -> int:
        return 0

    def has_spent(self, _: str) -> bool:
        return False

    def spent_owner(self, _: str) -> str | None:
        return None

    def lease(self, _: str) -> None:
        return None

    def changes_lease(self, _: str) -> bool:
        return False

    def alive(self, _: str) -> Sequence[str]:
        return ()

    def parents(self, _: object) -> set[str]:
        return set()

    def registered_as(self, _: ExternalId) -> str | None:
        return None

    def exceeds(self, _: Holding, limit: int, more: int = 0) -> bool:
        return more > limit

    def rows(self, state: object) -> Rows:
        return {}

    def relation_rows(self, _: object) -> Rows:
        return {}

    def entries(self, *_: object) -> Rows:
        return {}


_nothing = _Nothing()


class _Measured(dict[str, int | None]):
    """Says of all images that they were measured; what the others have is unknown."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, _: str) -> None:
        return None


class Outcome(NamedTuple):
    """The result of a command: its changes, or its refusal."""

    world: UnitOfWork
    changes: list[Change]
    refusal: Refusal | None

    def then(self, *expected: Change) -> Self:
        """Expect exactly these changes, in this order."""
        assert self.refusal is None
        assert list(expected) == self.changes
        return self

    def then_refused(
        self, refusal: type[Refusal], saying: str = "", *, point: str | None = None
    ) -> None:
        """Expect exactly this refusal, with words like these, for this field of the request."""
        assert self.refusal is not None, f"accepted, with {self.changes}"
        assert refusal is type(self.refusal)
        assert saying in str(self.refusal)
        assert point == self.refusal.point

    def events_of(self, stream: str) -> list[Event]:
        """Return what was decided for one stream."""
        return [c.event for c in self.changes if isinstance(c, Fact) and c.stream == stream]


class Given:
    """Return a state after all of this has happened."""

    def __init__(self, *history: History, environment: Foreseen | None = None) -> None:
        self.world = UnitOfWork(_nothing, _nothing)
        self._circumstances = environment or Foreseen()
        self._take(history)

    def when(self, command: Command, *, images: ImageData | None = None) -> Outcome:
        """Decide the command after the history; a refused one leaves nothing.

        Unless the test says which, all images were measured.
        """
        measured = _Measured(self._circumstances.data) if images is None else images
        above = UnitOfWork(self.world, _nothing, START, images=measured)
        changes: list[Change] = []
        try:
            for change in decide(command, above, self._circumstances):
                if isinstance(change, Fact):
                    _stage(above, change)
                elif isinstance(change, Discarded):
                    above.discard(change)
                changes.append(change)
        except Refusal as refusal:
            return Outcome(self.world, [], refusal)
        return Outcome(above, changes, None)

    def _take(self, history: History) -> None:
        if isinstance(history, Fact):
            _stage(self.world, history)
        elif isinstance(history, _COMMANDS):
            outcome = self.when(history)
            if outcome.refusal is not None:
                pytest.fail(f"{history} is refused: {outcome.refusal!r}")
            self.world.settle(outcome.world)
        else:
            for one in history:
                self._take(one)


given = Given


def _stage(world: UnitOfWork, fact: Fact) -> None:
    before = world.cached_stream(fact.stream)
    at = START + timedelta(milliseconds=before.version)
    world.stage(fact.stream, Recorded(at, "test", "", fact.event))
    reason = violation(before.state, fact.stream, fact.event)
    assert reason is None, f"{fact} is illegal: {reason}"
