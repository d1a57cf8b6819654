"""What follows a job's end changes nothing about when it ended: the case of labels.

A tree goes as long after its end as the policy says, however late it was labelled; and neither the
archive, nor statistics, nor the past take a label for an end.
"""

from datetime import datetime, timedelta

import msgspec
import pytest

from ledger.archives.trees import ArchivedJob
from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.events.jobs import job_stream
from projections.tables import JobRow
from projections.time_travel.past import Past
from projections.views.activity import read_activity
from projections.views.retention import first_end
from tests.retention.conftest import Clock
from tests.retention.poison import poison
from tests.retention.telling import DAYS, check, clone, drive, family, jobs
from tests.support.retained import Retained
from tests.support.world import ME

HOUR = timedelta(hours=1)


def label(kept: Retained, job: str, value: str = "x") -> None:
    kept.do(LabelJob(ME, job, {"env": value}))


def ended(kept: Retained, job: str) -> datetime:
    found = kept.ledger.job(job)
    assert found is not None
    assert found.ended is not None
    return found.ended


@pytest.fixture
def labelled(kept: Retained, clock: Clock) -> Retained:
    """Two trees that ended long ago and were labelled just now, on the root or below it."""
    for name in ("a", "b"):
        family(kept, name)
    clock.advance(days=DAYS - 1)
    label(kept, "a")
    label(kept, "b-below")
    return kept


def test_a_late_label_keeps_no_tree(labelled: Retained, clock: Clock) -> None:
    """It goes when it would have gone, and auditors agree that it was due then."""
    with labelled.ledger.log() as log:
        assert first_end(log.cursor(), [], DEFAULT_TERMS, clock.now) == ended(labelled, "a")
    clock.advance(hours=23)
    assert labelled.run().swept is None
    clock.advance(hours=1, seconds=1)
    swept = labelled.run().swept
    assert swept is not None
    assert swept.trees == 2
    assert jobs(labelled) == set()
    check(labelled)


def test_an_archive_says_when_its_jobs_ended_and_when_they_changed(
    labelled: Retained, clock: Clock
) -> None:
    """The end of a tree is that of its last job, not its newest event."""
    expected = {
        uuid: (ended(labelled, uuid), uuid in ("a", "b-below"))
        for uuid in ("a", "a-below", "b", "b-below")
    }
    clock.advance(days=2)
    labelled.run()
    for root in ("a", "b"):
        tree = labelled.shelf.tree_of(root)
        assert tree is not None
        assert tree.ended == max(expected[job.uuid][0] for job in tree.jobs)
        for job in tree.jobs:
            assert (job.ended, job.last_modified > job.created + HOUR) == expected[job.uuid]
            events = labelled.shelf.stream(job_stream(job.uuid)) or []
            assert job.last == events[-1].position
            assert job.state == "success"


def test_an_archive_of_an_earlier_version_does_not_say_when_jobs_ended() -> None:
    """Then it was the last event."""
    old = ["j", 1, 2, "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z", None, "success"]
    job = msgspec.convert(old, ArchivedJob)
    assert job.ended is None
    assert job.last == 2


def test_a_label_is_no_end_in_statistics(kept: Retained, clock: Clock) -> None:
    """A job counts once, when it ended, and its bytes when they were copied."""
    drive(kept, "source")
    clone(kept, "source", "j")

    def counted(span: timedelta) -> tuple[list[datetime], list[datetime]]:
        with kept.snapshot() as snapshot:
            buckets = read_activity(snapshot, ME, clock.now, span).buckets
        return [each.at for each in buckets if each.success], [
            each.at for each in buckets if each.copied_bytes
        ]

    clock.advance(hours=5)
    before = counted(10 * HOUR)
    assert [len(times) for times in before] == [1, 1]
    label(kept, "j")
    assert counted(10 * HOUR) == before
    assert counted(HOUR) == ([], [])


def test_the_past_is_shown_with_the_labels_that_there_were(
    labelled: Retained, clock: Clock
) -> None:
    """From rows, from the store and from the archive: before the label, and after it."""
    with labelled.ledger.log() as log:
        after = log.last_position()
    column = JobRow.__struct_fields__.index("last_modified")
    changed = {row[0]: row[column] for row in labelled.rows()["jobs"]}

    def told(position: int) -> dict[str, tuple[str, str | None]]:
        with labelled.snapshot() as snapshot:
            trees = Past(snapshot, labelled.shelf, position).jobs(ME, None, limit=9, offset=0).trees
        return {tree.job.uuid: (tree.job.last_modified, tree.job.ended) for tree in trees}

    shown = {position: told(position) for position in (after, after - 1, after - 2)}
    assert {uuid: at for uuid, (at, _) in shown[after].items()} == changed
    assert shown[after]["a"][0] == shown[after - 1]["a"][0] != shown[after - 2]["a"][0]
    assert {uuid: end for uuid, (_, end) in shown[after].items()} == {
        uuid: end for uuid, (_, end) in shown[after - 2].items()
    }
    clock.advance(days=2)
    labelled.retention.run_if_worthwhile()
    assert {position: told(position) for position in shown} == shown
    labelled.run()
    assert {position: told(position) for position in shown} == shown


def test_labels_of_a_job_that_is_discarded_unread_go_with_it(
    labelled: Retained, clock: Clock
) -> None:
    """Nobody can tell from its events which there were."""
    poison(labelled, "job-a")
    clock.advance(days=2)
    assert labelled.run().swept is not None
    assert jobs(labelled) == {"a", "a-below"}
    labelled.retention.release("job-a", skip=True)
    clock.advance(seconds=1)
    labelled.run()
    assert jobs(labelled) == set()
    assert labelled.rows()["labels"] == []
