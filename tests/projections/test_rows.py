"""Rows are a pure function of an aggregate's state."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.codec import decode
from ledger.domain.aggregates import fold
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.commands.drives import CreateDrives, EditDrive, NewDrive
from ledger.domain.commands.tags import CreateTags, DeleteTag, EditTag, NewTag
from ledger.domain.producers.conditions import state_of
from ledger.store.parameters import timestamp
from ledger.store.seam import Batch
from projections.audit_log import entries
from projections.rows import rows
from projections.tables import BY_NAME, TABLES
from projections.views.producers.jobs import ChildCounts
from tests.support.opened import Opened
from tests.support.story import STORY
from tests.support.world import ME, SOMEBODY_ELSE, START, disk


def test_the_same_events_make_the_same_rows(told: Opened) -> None:
    """Folded anew from the log, every stream shows what was written when its events were."""
    with told.ledger.log() as log:
        streams = log.streams_after(0)
        made: dict[str, list[tuple[object, ...]]] = {table.name: [] for table in TABLES}
        for stream in streams:
            history = [decode(topic, state) for _, topic, state in log.stream(stream)]
            state = fold(stream, history)
            assert state is not None
            shown = dict(rows(state))
            assert shown == rows(fold(stream, history))
            for version, recorded in enumerate(history, 1):
                shown |= entries(stream, version, recorded, state.owner)
            for (name, _), row in shown.items():
                made[name].append(row)
    assert told.rows() == {name: sorted(found) for name, found in made.items()}
    assert all(made.values()), "the story shows nothing in one of the tables"


def test_rows_begin_with_their_key(told: Opened) -> None:
    """So that a row can be dropped by it, and has as many columns as its table."""
    with told.ledger.log() as log:
        for stream in log.streams_after(0):
            history = (decode(topic, state) for _, topic, state in log.stream(stream))
            for (name, key), row in rows(fold(stream, history)).items():
                table = BY_NAME[name]
                assert key == row[: table.key]
                assert len(table.columns) == len(row)


def test_what_never_was_has_no_rows() -> None:
    """No events, no rows."""
    assert rows(None) == {}


@pytest.mark.parametrize("stream", ["drive-gone", "server-t2", "tag-old", "keypair-lost"])
def test_of_what_is_deleted_there_is_only_when(told: Opened, stream: str) -> None:
    """So that a sweep finds its stream; nothing else of it is shown."""
    state = told.current(stream)
    assert isinstance(state, Drive | Server | Tag | Keypair)
    assert state.deleted is not None
    assert rows(state) == {("departed", (stream,)): (stream, timestamp(state.deleted))}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), "2026-01-02T03:04:05.678901+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5, 0, UTC), "2026-01-02T03:04:05.000000+00:00"),
    ],
)
def test_timestamps_always_have_six_digits(moment: datetime, text: str) -> None:
    """So that they sort as time does."""
    assert text == timestamp(moment)


def test_rows_are_the_same_on_every_machine(told: Opened, tmp_path: Path) -> None:
    """The same commands with the same clock and ids give the same bytes."""
    with Opened(tmp_path / "second.sqlite") as second:
        second.do(*STORY)
        assert told.rows() == second.rows()


def test_a_tag_of_many_costs_one_row_for_each_thing_that_a_command_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that bear it otherwise are neither made nor compared, until it is deleted."""
    drives = [f"d{number}" for number in range(20)]
    with Opened(tmp_path / "ledger.sqlite") as opened:
        opened.do(CreateDrives(ME, tuple(NewDrive(drive, disk()) for drive in drives), "blank"))
        opened.do(CreateTags(ME, (NewTag("t", "oak", {}, tuple(drives[2:])),)))
        batches: list[Batch] = []
        append = opened.store.append

        def noted(batch: Batch) -> int:
            batches.append(batch)
            return append(batch)

        monkeypatch.setattr(opened.store, "append", noted)
        opened.do(
            EditDrive(ME, "d0", tags=("t",)),
            EditDrive(ME, "d2", tags=()),
            EditTag(ME, "t", "elm", None, tuple(drives[:-1])),
            DeleteTag(ME, "t"),
        )
        borne = [
            [key for _, key in (*batch.puts, *batch.drops) if len(key) == 2] for batch in batches
        ]
        assert borne[:2] == [[("t", "d0")], [("t", "d2")]]
        assert sorted(borne[2]) == [("t", "d1"), ("t", "d19"), ("t", "d2")]
        assert sorted(borne[3]) == sorted(("t", drive) for drive in drives[:-1])
        assert opened.rows()["tag_resources"] == []


def test_the_rows_of_a_producers_job_are_all_of_what_is_known_of_it(told: Opened) -> None:
    """So that nothing is folded to show it."""
    with told.snapshot() as snapshot, told.ledger.log() as log:
        known = {
            stream.removeprefix("job-"): fold(
                stream, [decode(topic, state) for _, topic, state in log.stream(stream)]
            )
            for stream in log.streams_of("job")
        }
        shown = snapshot.shown_jobs([*known], ME, START)
        versions = {uuid: len(log.stream(f"job-{uuid}")) for uuid in known}
    assert len(shown) > 30
    for each in shown:
        job = known[each.uuid]
        assert isinstance(job, Job)
        assert (each.produced, each.labels) == (job.produced, job.labels)
        assert (each.state, each.version) == (state_of(job), versions[each.uuid])
        if job.produced is not None and job.produced.is_group:
            below = job.children
            assert each.children.total == len(below)
            assert each.children.failed == below.failed


def test_what_is_shown_of_a_producers_job(told: Opened) -> None:
    """Its words, the jobs below it, and what follows from the time."""
    with told.snapshot() as snapshot:
        nas = snapshot.shown_job("nas", ME, START)
        laptop = snapshot.shown_job("laptop", ME, START + timedelta(days=400))
        assert snapshot.shown_job("nas", SOMEBODY_ELSE, START) is None
    assert nas is not None
    assert nas.texts == {"message": "photos/2019"}
    assert nas.children == ChildCounts(total=1, running=1)
    assert [each.type for each in nas.conditions] == ["children_running"]
    assert laptop is not None
    assert [each.type for each in laptop.conditions] == []
