"""Retention at work, on a real ledger with its archives."""

from ledger.commands import CloneDrive, CreateJob, DeleteDrives, FailJob, StartAttempt, SucceedJob
from tests.retention.conftest import Clock
from tests.retention.telling import DAYS, check, clone, drive, jobs, streams
from tests.support.retained import Retained
from tests.support.story import STORY
from tests.support.world import ME


def test_a_job_goes_three_days_after_its_end(kept: Retained, clock: Clock) -> None:
    """Not before; by the end, not by the beginning."""
    drive(kept, "d")
    kept.do(CloneDrive(ME, "d", "copy", "job"), StartAttempt("job", 1, "w"))
    clock.advance(days=10)
    kept.do(SucceedJob("job", 1))
    clock.advance(days=DAYS, seconds=-1)
    assert kept.run().swept is None
    assert jobs(kept) == {"job"}
    clock.advance(seconds=1)
    kept.run()
    assert jobs(kept) == set()
    check(kept)


def test_a_running_job_is_never_discarded(kept: Retained, clock: Clock) -> None:
    """However old it is."""
    drive(kept, "d")
    kept.do(CloneDrive(ME, "d", "copy", "job"), StartAttempt("job", 1, "w"))
    clock.advance(days=1_000)
    assert kept.run().swept is None
    assert jobs(kept) == {"job"}


def test_a_parent_with_a_running_descendant_is_never_discarded(
    kept: Retained, clock: Clock
) -> None:
    """Nor are the children that ended long ago."""
    kept.do(
        CreateJob(ME, "root", "x"),
        CreateJob(ME, "branch", "x", parent="root"),
        CreateJob(ME, "leaf", "x", parent="branch"),
        CreateJob(ME, "other-leaf", "x", parent="branch"),
        StartAttempt("leaf", 1, "w"),
        SucceedJob("leaf", 1),
    )
    clock.advance(days=1_000)
    assert kept.run().swept is None
    kept.do(StartAttempt("other-leaf", 1, "w"), FailJob("other-leaf", 1, "on fire"))
    clock.advance(days=DAYS, seconds=1)
    kept.run()
    assert jobs(kept) == set()
    check(kept)


def test_a_deleted_drive_goes_with_the_last_tree_that_names_it(
    kept: Retained, clock: Clock
) -> None:
    """Until then its stream is in the store; that of a drive that lives stays."""
    drive(kept, "d")
    clone(kept, "d", "first")
    clock.advance(days=1)
    clone(kept, "d", "second")
    kept.do(DeleteDrives(ME, ("d",)))
    clock.advance(days=2, seconds=1)
    kept.run()
    assert streams(kept) == {
        "drive-d",
        "drive-copy-first",
        "drive-copy-second",
        "job-second",
    }
    check(kept)
    clock.advance(days=1)
    kept.run()
    assert streams(kept) == {"drive-copy-first", "drive-copy-second"}
    check(kept)


def test_what_is_discarded_is_in_an_archive(kept: Retained, clock: Clock) -> None:
    """Byte for byte, and no more in the store; its place in the tree is kept."""
    kept.do(*STORY)
    with kept.ledger.log() as log:
        before = {event.position: event for event in log.events()}
    clock.advance(days=DAYS, seconds=1)
    compacted = kept.run().compacted
    assert compacted is not None
    with kept.ledger.log() as log:
        left = {event.position: event for event in log.events()}
        assert log.leaf_count() == len(left) + compacted.events
    archived = {event.position: event for event in kept.shelf.events()}
    assert len(archived) == compacted.events > 0
    assert not archived.keys() & left.keys()
    assert before.keys() <= archived.keys() | left.keys()
    assert all(before[position] == event for position, event in archived.items())
    check(kept)


def test_positions_are_never_used_again(kept: Retained, clock: Clock) -> None:
    """Also when the newest events are the ones that go."""
    drive(kept, "d")
    clone(kept, "d", "job")
    kept.keep(days=0)
    kept.run()
    with kept.ledger.log() as log:
        newest = log.last_position()
    drive(kept, "e")
    with kept.ledger.log() as log:
        assert log.last_position() > newest
    check(kept)
