"""Who follows the events of an account has seen every one that is there, or knows of the others."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.domain.commands.housekeeping import RecordRestore, SetRetention
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import EndJob, RegisterJob, RequestCancel
from ledger.store.sqlite.backup import copy_ledger
from projections.maintenance.retention.compaction import compact
from projections.views.events import (
    Acts,
    ArchivedSpan,
    EventReader,
    Moved,
    Place,
    Read,
    Restore,
    Wanted,
    after_archives,
    after_restore,
)
from tests.models import test_feed_cursor as model
from tests.support.discarding import AT_ONCE, discard
from tests.support.opened import Opened
from tests.support.producing import BROKEN, DONE, queued, registered, running
from tests.support.world import ME, SOMEBODY_ELSE

EVENTS = 4
"""Of the ledgers that are compared with the model."""


def any_ledger() -> Iterator[model.State]:
    """Ledgers with up to two restores and two archives, in every order."""
    events = tuple(f"event {nth}" for nth in range(EVENTS))
    spans = ((), ((2, 1),), ((3, 2),), ((2, 1), (4, 3)), ((3, 2), (4, 1)))
    chains = ((), ((1, 1),), ((2, 3),), ((1, 3), (2, 1)), ((1, 1), (3, 3)), ((1, 2), (2, 2)))
    for restores, archives in product(chains, spans):
        yield model.State(events, restores, archives)


def acts(ledger: model.State) -> Acts:
    return Acts(
        tuple(Restore(*began) for began in ledger.restores),
        tuple(ArchivedSpan(*archive) for archive in ledger.archives),
        len(ledger.events),
    )


def test_a_reader_goes_on_where_the_model_does() -> None:
    """From every place, in every ledger."""
    for ledger in any_ledger():
        feed = model.Feed()
        feed.ledger = ledger
        for place in product(range(4), range(EVENTS + 1), range(EVENTS + 1)):
            feed.cursor = model.Cursor(*place)
            ours = after_restore(Place(*place), acts(ledger))
            if place[0] == ledger.epoch:
                assert ours is None
                incomplete = feed.is_incomplete(feed.cursor)
                assert (after_archives(Place(*place), acts(ledger)) is not None) == incomplete
            else:
                shared = feed.shared(place[0])
                assert ours == (ledger.epoch, min(place[1], shared), min(place[2], shared))


def test_a_position_that_no_event_has_reached_is_of_a_ledger_that_is_gone() -> None:
    """It was put back without a record of it."""
    assert after_restore(Place(0, 9, 9), Acts((), (), 8)) == Place(0, 0, 0)


class Reader:
    """Follows an account's events, two at a time."""

    def __init__(self, wanted: Wanted | None = None) -> None:
        self.wanted = wanted or Wanted(ME)
        self.place: Place | None = None
        self.seen: list[tuple[str, int]] = []
        self.told: list[str] = []
        self._reader = EventReader()

    def follow(self, opened: Opened) -> None:
        """Read until there is nothing more."""
        while self._step(opened):
            pass

    def _step(self, opened: Opened) -> bool:
        step = opened.ledger.read(
            lambda cursor: self._reader.follow(cursor, self.place, self.wanted, 2)
        )
        before, self.place = self.place, step.next
        match step:
            case Moved(why=why):
                self.told.append(why)
            case Read(events=events):
                self.seen += [(event.stream, event.version) for event, _ in events]
        return self.place != before


def test_a_reader_sees_the_events_of_its_account_in_order(opened: Opened) -> None:
    reader = Reader()
    opened.do(running("a"), CreateJob(SOMEBODY_ELSE, "x", "x"), queued("b"), EndJob("a", 1, DONE))
    reader.follow(opened)
    assert reader.seen == [
        *(("job-a", 1), ("job-a", 2), ("job-a", 3)),
        *(("job-b", 1), ("job-b", 2), ("job-a", 4)),
    ]
    opened.do(RequestCancel(ME, "b", JobCancelRequested(60)))
    reader.follow(opened)
    assert reader.seen[6:] == [("job-b", 3), ("job-b", 4)]
    assert reader.told == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(ME, types=frozenset({"job-succeeded"})), ["below", "a"]),
        (Wanted(ME, types=frozenset({"job-created"}), root="a"), ["a", "below"]),
        (Wanted(ME, types=frozenset({"job-registered"}), source="//pi"), ["other"]),
        (Wanted(ME, types=frozenset({"job-registered"}), series="nightly"), ["other"]),
        (Wanted(SOMEBODY_ELSE), ["theirs"]),
        (Wanted(ME, types=frozenset()), []),
    ],
)
def test_a_reader_sees_what_it_wants(opened: Opened, wanted: Wanted, expected: list[str]) -> None:
    reader = Reader(wanted)
    said = replace(registered(source="//pi"), series="nightly")
    opened.do(
        CreateJob(SOMEBODY_ELSE, "theirs", "x"),
        running("a"),
        running("below", "a", end=DONE),
        RegisterJob(ME, "other", "backup", said),
        queued("b"),
        EndJob("a", 1, DONE),
    )
    reader.follow(opened)
    assert [stream for stream, _ in reader.seen] == [f"job-{uuid}" for uuid in expected]


def archive(opened: Opened, archives: Path, uuid: str) -> None:
    """Move what has ended by now to an archive."""
    opened.do(SetRetention(AT_ONCE))
    discard(opened.ledger, f"sweep-{uuid}", opened.now())
    assert opened.ledger.maintenance.acquire()
    try:
        assert compact(opened.ledger, archives, lambda: uuid) is not None
    finally:
        opened.ledger.maintenance.release()


def test_a_reader_is_told_what_is_only_in_an_archive(opened: Opened, tmp_path: Path) -> None:
    """Once. Who has read all of it is not, and sees all of what is still there."""
    opened.do(running("first"), running("stays"), running("second"))
    behind, ahead = Reader(), Reader()
    behind.follow(opened)
    opened.do(EndJob("second", 1, DONE), EndJob("first", 1, DONE))
    ahead.follow(opened)
    archive(opened, tmp_path / "archive", "one")
    for reader, told in ((behind, ["archived"]), (ahead, []), (Reader(), [])):
        reader.follow(opened)
        assert reader.told == told
        assert [seen for seen in reader.seen if seen[0] == "job-stays"] == [
            ("job-stays", version) for version in (1, 2, 3)
        ]


def test_events_of_what_is_discarded_are_read_until_they_are_archived(opened: Opened) -> None:
    """A reader that comes late misses none of them in silence."""
    opened.do(running("a", end=DONE), SetRetention(AT_ONCE))
    discard(opened.ledger, "sweep", opened.now())
    reader = Reader()
    reader.follow(opened)
    assert reader.seen == [("job-a", version) for version in (1, 2, 3, 4)]


def test_a_reader_goes_on_from_what_a_restore_has_kept(opened: Opened, tmp_path: Path) -> None:
    """Whether it had read more than the backup has, or less.

    Each restore is an epoch of its own, also if two begin with the same backup.
    """
    opened.do(running("a"), running("b"))
    behind, ahead, lost = Reader(), Reader(), Reader()
    behind.follow(opened)
    opened.do(EndJob("a", 1, DONE))
    copy_ledger(opened.file, tmp_path / "backup.sqlite")
    opened.do(EndJob("b", 1, DONE), running("never was"))
    ahead.follow(opened)

    def restored(name: str) -> Opened:
        (tmp_path / name).mkdir()
        file = tmp_path / name / "ledger.sqlite"
        copy_ledger(tmp_path / "backup.sqlite", file)
        again = Opened(file, now=opened.now)
        again.do(RecordRestore(name, 2, "note"))
        return again

    with restored("one") as undone:
        undone.do(EndJob("b", 1, BROKEN), running("lost too"))
        lost.follow(undone)
    with restored("two") as again:
        again.do(*(running(f"after {nth}") for nth in range(5)))
        everything = Reader()
        everything.follow(again)
        for reader in (behind, ahead, lost):
            reader.told.clear()
            reader.follow(again)
            assert reader.told == ["restored"]
            assert set(reader.seen) >= set(everything.seen)
        assert ahead.seen.count(("job-a", 4)) == 1
