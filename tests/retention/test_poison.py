"""Events that cannot be read stop nobody else, and go only when somebody says so."""

import pytest

from ledger.domain.aggregates.housekeeping import Parking
from ledger.domain.commands.drives import CloneDrive, DeleteDrives
from ledger.domain.commands.jobs import CreateJob, StartAttempt
from ledger.domain.errors.housekeeping import NotParked
from ledger.domain.errors.store import UnknownEvent
from projections.time_travel.past import Past
from tests.retention.conftest import Clock
from tests.retention.poison import UNREADABLE, poison
from tests.retention.telling import DAYS, acts, check, clone, drive, family, jobs, streams
from tests.support.opened import behind_its_back
from tests.support.retained import Retained
from tests.support.world import ME


def parked(kept: Retained) -> list[tuple[str, str]]:
    return [(one.stream, one.handling) for one in kept.retention.parked()]


@pytest.fixture
def families(kept: Retained, clock: Clock) -> Retained:
    """Three trees of two jobs each, all due."""
    for root in ("a", "b", "c"):
        family(kept, root)
    clock.advance(days=DAYS, seconds=1)
    return kept


@pytest.mark.parametrize(
    ("stream", "how"), [*(("job-b", how) for how in UNREADABLE), ("job-b-below", "no JSON")]
)
def test_the_others_go(families: Retained, stream: str, how: str) -> None:
    """The tree that cannot be read stays whole, and is parked with the reason."""
    event = poison(families, stream, how, version=-1)
    swept, compacted = families.run()
    assert swept is not None
    assert (swept.trees, swept.parked) == (2, [stream])
    assert compacted is not None
    assert jobs(families) == {"b", "b-below"}
    assert streams(families) == {"job-b", "job-b-below"}
    [parking] = families.retention.parked()
    assert (parking.stream, parking.reader, parking.handling) == (stream, "sweep", "parked")
    assert f"{stream} cannot be read from position {event.position} on: " in parking.reason


def test_what_is_parked_stays_until_it_is_released(families: Retained, clock: Clock) -> None:
    """It is not tried again by itself: not even when it could be read."""
    event = poison(families, "job-b")
    families.run()
    event.mend()
    clock.advance(days=DAYS)
    assert not families.retention.plan()
    assert families.run().swept is None
    assert jobs(families) == {"b", "b-below"}
    assert parked(families) == [("job-b", "parked")]
    check(families)


def test_what_can_be_read_again_goes_when_it_is_tried(families: Retained) -> None:
    """And an auditor finds that all is sound."""
    event = poison(families, "job-b-below")
    families.run()
    event.mend()
    families.retention.release("job-b-below", skip=False)
    assert parked(families) == [("job-b-below", "retry")]
    assert families.run().compacted is not None
    assert jobs(families) == set()
    assert parked(families) == []
    check(families)


def test_what_still_cannot_be_read_is_parked_again(families: Retained) -> None:
    """After another try."""
    poison(families, "job-b")
    families.run()
    families.retention.release("job-b", skip=False)
    assert [tree.jobs[0] for tree in families.retention.plan().trees] == ["b"]
    swept = families.run().swept
    assert swept is not None
    assert (swept.trees, swept.parked) == (0, ["job-b"])
    assert jobs(families) == {"b", "b-below"}
    assert parked(families) == [("job-b", "parked")]


@pytest.mark.parametrize(
    ("stream", "version", "how"),
    [
        *(("job-b", 1, how) for how in UNREADABLE),
        ("job-b", 2, "no JSON"),
        ("job-b", -1, "another shape"),
        ("job-b-below", 1, "an unknown name"),
        ("job-b-below", 2, "another thing's event"),
        ("job-b-below", -1, "an unknown version"),
    ],
)
def test_what_is_skipped_goes_unread(
    families: Retained, stream: str, how: str, version: int
) -> None:
    """With all rows; its events are in the archive byte for byte."""
    event = poison(families, stream, how, version=version)
    families.run()
    with families.ledger.log() as log:
        there = [each for each in log.events() if each.stream in ("job-b", "job-b-below")]
    families.retention.release(stream, skip=True)
    swept, compacted = families.run()
    assert swept is not None
    assert (swept.trees, swept.jobs, swept.parked) == (1, 2, [])
    assert compacted is not None
    assert jobs(families) == streams(families) == set()
    assert families.rows()["audit_log"] == []
    archived = {each.position: each for each in families.shelf.events()}
    assert event.position in archived
    assert [archived[each.position] for each in there] == there
    assert parked(families) == []
    check(families)


def test_a_deleted_drive_that_cannot_be_read(kept: Retained, clock: Clock) -> None:
    """Is parked likewise, and can be skipped; the drive that is there does not mind."""
    drive(kept, "d")
    drive(kept, "there")
    clone(kept, "d", "job")
    kept.do(DeleteDrives(ME, ("d",)))
    clock.advance(days=DAYS, seconds=1)
    poison(kept, "drive-d", version=2)
    swept = kept.run().swept
    assert swept is not None
    assert swept.parked == ["drive-d"]
    assert jobs(kept) == set()
    kept.retention.release("drive-d", skip=True)
    kept.run()
    assert streams(kept) == {"drive-there", "drive-copy-job"}
    assert kept.rows()["departed"] == []
    check(kept)


def test_a_rebuild_and_a_replay_stop_until_it_has_gone(families: Retained) -> None:
    """They name it, and nothing is flipped; unread, it is in nobody's way even in the store."""
    event = poison(families, "job-b-below", "an unknown name", version=2)
    families.run()
    families.retention.release("job-b-below", skip=True)
    shown = families.rows()
    with pytest.raises(UnknownEvent) as refused:
        families.rebuild()
    assert str(refused.value) == (
        f"job-b-below cannot be read from position {event.position} on:"
        " no event is stored under the name job-exploded/1"
    )
    assert families.rows() == shown
    divergence = families.replay().divergence
    assert divergence is not None
    assert divergence[:3] == (event.position, "job-b-below", "job-exploded/1")
    families.retention.run_if_worthwhile()  # discards, and archives nothing yet
    assert streams(families) == {"job-b", "job-b-below"}
    check(families)


def test_what_was_skipped_may_not_be_changed(families: Retained) -> None:
    """Its bytes are looked at, if not what they say."""
    event = poison(families, "job-b")
    families.run()
    families.retention.release("job-b", skip=True)
    families.retention.run_if_worthwhile()
    check(families)
    with behind_its_back(families.file) as connection:
        connection.execute(
            "UPDATE stored_events SET state = x'00' WHERE position = ?", (event.position,)
        )
    divergence = families.replay().divergence
    assert divergence is not None
    assert (divergence.position, divergence.reason) == (
        event.position,
        "its leaf hash is not that of its bytes",
    )


def test_the_acts_are_in_the_ledger(families: Retained) -> None:
    """Parked by the sweep, released by whoever did it."""
    poison(families, "job-b")
    families.run()
    families.retention.release("job-b", skip=True)
    families.run()
    with families.ledger.log() as log:
        told = [each for each in log.events() if each.stream == "parking-job-b"]
    assert [each.topic for each in told] == ["stream-parked/1", "stream-released/1"]
    state = families.current("parking-job-b")
    assert isinstance(state, Parking)
    assert state.handling == "skip"


def test_how_it_was_parked_goes_with_old_acts(families: Retained, clock: Clock) -> None:
    """Once the stream itself is here no more."""
    poison(families, "job-b")
    families.run()
    families.retention.release("job-b", skip=True)
    families.run()
    assert acts(families, "parking") == ["parking-job-b"]
    family(families, "later")
    clock.advance(days=DAYS, seconds=1)
    families.run()
    assert acts(families, "parking") == []
    check(families)


@pytest.mark.parametrize("skip", [True, False], ids=["skip", "retry"])
def test_only_what_is_parked_can_be_released(families: Retained, *, skip: bool) -> None:
    """Anything else is refused, and nothing recorded."""
    poison(families, "job-b")
    families.run()
    families.retention.release("job-b", skip=True)
    with families.ledger.log() as log:
        before = log.last_position()
    for stream in ("job-b", "job-a", "kettle", ""):
        with pytest.raises(NotParked):
            families.retention.release(stream, skip=skip)
    with families.ledger.log() as log:
        assert log.last_position() == before


def test_commands_about_others_go_on(families: Retained) -> None:
    """What cannot be read fails the commands that need it, and no others."""
    drive(families, "d")
    families.do(CloneDrive(ME, "d", "copy", "job"), CloneDrive(ME, "d", "copy-2", "job-2"))
    poison(families, "job-job")
    with pytest.raises(UnknownEvent):
        families.do(StartAttempt("job", 1, "w"))
    families.do(StartAttempt("job-2", 1, "w"), CreateJob(ME, "another", "x"))
    with families.snapshot() as snapshot:
        assert set(snapshot.running_leaves()) >= {"job", "job-2"}


@pytest.mark.parametrize("when", ["shown", "discarded", "archived"])
def test_the_past_of_others_can_be_told(families: Retained, when: str) -> None:
    """What cannot be read is left out of it, wherever it is."""
    poison(families, "job-c")
    with families.ledger.log() as log:
        before_the_last_end = log.last_position() - 1
    if when != "shown":
        families.run()
        families.retention.release("job-c", skip=True)
        families.run() if when == "archived" else families.retention.run_if_worthwhile()
    with families.snapshot() as snapshot:
        past = Past(snapshot, families.shelf, before_the_last_end)
        _, trees = past.jobs(ME, None, limit=9, offset=0)
    states = {tree.job.uuid: tree.job.state for tree in trees}
    assert states.items() >= dict.fromkeys(("a", "a-below", "b", "b-below"), "success").items()
    assert "c" not in states
