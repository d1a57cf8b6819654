"""Who follows the feed has seen every event that is there, or was told that some are not.

A cursor has an epoch, a position, and the position of the last archive that its reader knows of.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.models.explorer import Steps, World, explore, when


class Cursor(NamedTuple):
    epoch: int = 0
    position: int = 0
    knows: int = 0


class State(NamedTuple):
    """What a backup holds. An event's position is its place; a removed one is empty."""

    events: tuple[str, ...] = ()
    restores: tuple[tuple[int, int], ...] = ()
    """The epochs that restores began, each with the position of the backup's last event."""
    archives: tuple[tuple[int, int], ...] = ()
    """Those that were recorded: at this position, with events up to that one."""
    archived: tuple[str, ...] = ()
    """The events that were removed."""

    @property
    def epoch(self) -> int:
        return self.restores[-1][0] if self.restores else 0


class Feed(World):
    """A reader; meanwhile events are written and removed, and backups are taken and restored.

    The arguments leave rules out. `names_epoch`: a cursor of another epoch is not read on.
    `goes_back`: after a restore the reader goes on from what both epochs share. `whole_chain`: over
    several restores, that is the least of their positions. `knows_epoch`: from an epoch that the
    ledger does not know, from the beginning. `by_archives`: what was removed is known by the
    archives that were recorded, not by the oldest event that is there.
    """

    def __init__(
        self,
        *,
        writes: int = 2,
        restores: int = 1,
        removals: int = 0,
        names_epoch: bool = True,
        goes_back: bool = True,
        whole_chain: bool = True,
        knows_epoch: bool = True,
        by_archives: bool = True,
    ) -> None:
        self.rules = names_epoch, goes_back, whole_chain, knows_epoch, by_archives
        self.counts = writes, restores, removals
        self.ledger = State()
        self.last_epoch = 0
        self.cursor = Cursor()
        self.seen: set[str] = set()
        self.told: set[str] = set()
        """Events of which the reader was told that they are in archives only."""

    def processes(self) -> Iterator[Steps]:
        writes, restores, removals = self.counts
        yield self.writer(writes)
        yield self.reader()
        for nth in range(restores):
            yield self.operator(nth)
        if removals:
            yield self.compaction(removals)

    def writer(self, writes: int) -> Steps:
        for nth in range(writes):
            yield f"event {nth} is written"
            self.append(f"event {nth}")

    def append(self, event: str) -> None:
        self.ledger = self.ledger._replace(events=(*self.ledger.events, event))

    def operator(self, nth: int) -> Steps:
        yield f"backup {nth} is taken"
        backup = self.ledger
        yield f"backup {nth} is restored"
        self.last_epoch += 1
        began = self.last_epoch, len(backup.events)
        self.ledger = backup._replace(restores=(*backup.restores, began))
        self.append(f"restored {self.last_epoch}")

    def compaction(self, removals: int) -> Steps:
        """Archive the second of the events, then the first: they are of different streams."""
        for place in (1, 0)[:removals]:
            yield when(lambda place=place: self.is_there(place), f"event {place} is archived")
            archive = len(self.ledger.events) + 1, place + 1
            self.append("an archive")
            self.ledger = self.ledger._replace(archives=(*self.ledger.archives, archive))
            yield f"event {place} is removed"
            if archive in self.ledger.archives:
                self.remove(place)

    def is_there(self, place: int) -> bool:
        return any(self.ledger.events[place : place + 1])

    def remove(self, place: int) -> None:
        events = [*self.ledger.events]
        archived = *self.ledger.archived, events[place]
        events[place] = ""
        self.ledger = self.ledger._replace(events=tuple(events), archived=archived)

    def reader(self) -> Steps:
        while True:
            yield when(self.has_news, "the reader asks")
            cursor, ledger = self.cursor, self.ledger
            if cursor.epoch != ledger.epoch and self.rules[0]:
                shared = self.shared(cursor.epoch)
                at = min(cursor.position, shared) if self.rules[1] else shared
                self.cursor = Cursor(ledger.epoch, at, min(cursor.knows, shared))
            elif self.is_incomplete(cursor):
                self.told |= {ledger.events[last - 1] for _, last in ledger.archives}
                self.told |= {*ledger.archived}
                self.cursor = cursor._replace(knows=ledger.archives[-1][0])
            else:
                self.seen |= {*ledger.events[cursor.position :]}
                self.cursor = Cursor(ledger.epoch, len(ledger.events), len(ledger.events))

    def has_news(self) -> bool:
        is_behind = self.cursor.position != len(self.ledger.events)
        return is_behind or self.cursor.epoch != self.ledger.epoch

    def shared(self, epoch: int) -> int:
        """Up to where the ledger has what the epoch had, as far as it knows."""
        _, _, whole_chain, knows_epoch, _ = self.rules
        restores = self.ledger.restores
        if knows_epoch and epoch not in (0, *(epoch for epoch, _ in restores)):
            return 0
        since = [at for began, at in restores if began > epoch]
        return min(since if whole_chain else since[-1:])

    def is_incomplete(self, cursor: Cursor) -> bool:
        """Whether events after the cursor were removed, and its reader does not know."""
        new = [last for at, last in self.ledger.archives if at > cursor.knows]
        if self.rules[4]:
            return any(last > cursor.position for last in new)
        is_there = [nth for nth, event in enumerate(self.ledger.events) if event]
        return bool(new) and cursor.position < is_there[0]

    def left_undone(self) -> Iterator[str]:
        known = self.seen | self.told | {""}
        if {*self.ledger.events} - known:
            yield "an event is missed"
        if {*self.ledger.archived} - known:
            yield "an event is missed in silence"


WORLDS: dict[str, Callable[[], Feed]] = {
    "restored": Feed,
    "restored twice": lambda: Feed(restores=2),
    "compacted": lambda: Feed(writes=3, restores=0, removals=2),
    "compacted and restored": lambda: Feed(writes=2, removals=1),
}


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_a_reader_misses_nothing_in_silence(make: Callable[[], Feed]) -> None:
    assert not explore(make).trace


@pytest.mark.long
def test_the_same_with_more_of_all() -> None:
    assert not explore(lambda: Feed(restores=2, removals=1)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Feed(names_epoch=False), "an event is missed"),
        (lambda: Feed(goes_back=False), "an event is missed"),
        (lambda: Feed(writes=3, restores=2, whole_chain=False), "an event is missed"),
        (lambda: Feed(writes=3, restores=2, knows_epoch=False), "an event is missed"),
        (
            lambda: Feed(writes=3, restores=0, removals=1, by_archives=False),
            "an event is missed in silence",
        ),
    ],
    ids=["no epoch", "from the restore", "the last restore", "unknown epoch", "by the oldest"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
