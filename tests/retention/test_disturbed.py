"""Retention while others write, clocks step, streams cannot be read, and somebody stops it."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

import projections.maintenance.retention.compaction
import projections.maintenance.retention.service
from ledger.archives import ArchivedTree, Written
from ledger.domain.commands import Command
from ledger.domain.commands.drives import DeleteDrives
from ledger.domain.commands.housekeeping import DiscardJobs, RecordArchive
from ledger.domain.errors.store import UnreadableStream
from ledger.store.seam import Log, LoggedEvent
from ledger.store.sqlite.store import SqliteStore
from ledger.store.tables.stamps import date_stored
from ledger.store.writer import Caller
from projections.audit.replay import replay
from projections.maintenance.retention.compaction import Compacted
from projections.maintenance.retention.service import ClockMoved
from projections.maintenance.retention.sweep import RetentionStopped
from projections.time_travel.past import Past
from tests.retention.conftest import Clock
from tests.retention.poison import poison
from tests.retention.telling import DAYS, clone, drive, family, jobs, streams
from tests.support.opened import behind_its_back, stamped_by
from tests.support.retained import Retained
from tests.support.world import ME, START


def check(kept: Retained) -> None:
    """Both folds are sound, and retention can still be asked and run."""
    assert kept.replay().divergence is None
    assert kept.replay(kept.archives).divergence is None
    kept.retention.status()
    kept.run()
    assert kept.replay(kept.archives).divergence is None


def start_again(kept: Retained) -> None:
    """As the next start does: it is not asked to stop any more."""
    kept.retention._stopping.clear()


class Stopping:
    """Stops retention after so many commands that `counts` says count."""

    def __init__(self, kept: Retained, counts: Callable[[Command], bool], after: int = 1) -> None:
        self._kept = kept
        self._counts = counts
        self._left = after
        self._execute = kept.ledger.execute_blocking
        kept.ledger.execute_blocking = self

    def __call__(self, command: Command, by: Caller) -> int:
        position = self._execute(command, by)
        if self._counts(command):
            self._left -= 1
            if self._left == 0:
                self._kept.retention.stop()
        return position

    def end(self) -> None:
        self._kept.ledger.execute_blocking = self._execute
        start_again(self._kept)


def test_acts_of_earlier_compactions_are_never_half_there(
    kept: Retained, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks between two slices of a compaction, and wherever it is stopped."""
    looked = 0

    def look(_: float) -> None:
        nonlocal looked
        looked += 1
        kept.retention.status()
        if looked % 20 == 0:
            family(kept, f"meanwhile-{looked}")

    monkeypatch.setattr(projections.maintenance.retention.compaction, "DELETED_AT_ONCE", 1)
    monkeypatch.setattr(projections.maintenance.retention.compaction, "SLICE_S", 0.0)
    paused = SimpleNamespace(sleep=look, monotonic=time.monotonic)
    monkeypatch.setattr(projections.maintenance.retention.compaction, "time", paused)
    for day in range(9):
        family(kept, f"day-{day}")
        clock.advance(days=1)
        kept.run()
    assert looked > 50
    check(kept)


def test_a_clock_that_steps_back_between_sweep_and_archive(
    kept: Retained, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By less than stops a sweep: what a compaction says of its sweeps outlives them."""
    compact = projections.maintenance.retention.service.compact
    stepped = False

    def step(*arguments: object, **more: object) -> Compacted | None:
        nonlocal stepped
        if not stepped:
            stepped = True
            clock.advance(minutes=-50)
        return compact(*arguments, **more)

    monkeypatch.setattr(projections.maintenance.retention.service, "compact", step)
    for step_ in range(7 * 24):
        if step_ % 6 == 0:
            family(kept, f"family-{step_}")
        clock.advance(hours=1)
        kept.run()
    check(kept)


def test_an_archive_is_written_however_often_reads_are_cut(
    kept: Retained, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a busy service, the log of the ledger's file does not wait for it."""
    assert isinstance(kept.store, SqliteStore)
    reads, write = (
        kept.store.disk._wal._reads,
        projections.maintenance.retention.compaction.write_archive,
    )

    def write_cut(
        directory: Path, name: str, events: Iterable[LoggedEvent], trees: Sequence[ArchivedTree]
    ) -> Written:
        def cut() -> Iterator[LoggedEvent]:
            for event in events:
                reads.cut_oldest()
                yield event

        return write(directory, name, cut(), trees)

    monkeypatch.setattr(projections.maintenance.retention.compaction, "READ_AT_ONCE", 3)
    monkeypatch.setattr(projections.maintenance.retention.compaction, "write_archive", write_cut)
    family(kept, "a")
    clock.advance(days=4)
    compacted = kept.run().compacted
    assert compacted is not None
    assert compacted.events > 3
    check(kept)


@pytest.mark.parametrize("drives", [98, 99, 100])
@pytest.mark.thorough
def test_a_sweep_that_is_stopped_between_its_streams(
    kept: Retained, clock: Clock, drives: int
) -> None:
    """The next one goes on, whichever stream was the last."""
    family(kept, "a")
    clock.advance(hours=12)
    family(kept, "b")
    clock.advance(days=2, hours=13)
    kept.run()
    clock.advance(days=1)
    kept.run()
    uuids = tuple(f"d{nth}" for nth in range(drives))
    for uuid in uuids:
        drive(kept, uuid)
    kept.do(DeleteDrives(ME, uuids))
    clock.advance(days=4)
    stopping = Stopping(
        kept, lambda command: isinstance(command, DiscardJobs) and bool(command.streams)
    )
    with pytest.raises(RetentionStopped):
        kept.run()
    stopping.end()
    for _ in range(3):
        kept.run()
        clock.advance(hours=1)
    check(kept)
    assert not any(stream.startswith("drive-d") for stream in streams(kept))


def test_what_a_parked_tree_names_stays_with_it(kept: Retained, clock: Clock) -> None:
    """A deleted drive is not discarded before the last tree that names it, read or not."""
    drive(kept, "d")
    clone(kept, "d", "job")
    kept.do(DeleteDrives(ME, ("d",)))
    clock.advance(days=DAYS, seconds=1)
    event = poison(kept, "job-job", version=2)
    kept.run()
    assert jobs(kept) == {"job"}
    assert "drive-d" in streams(kept)
    event.mend()
    check(kept)
    kept.retention.release("job-job", skip=False)
    kept.run()
    assert "drive-d" not in streams(kept)
    check(kept)


def test_a_policy_holds_though_an_earlier_one_was_set_in_the_future(
    tmp_path: Path, clock: Clock
) -> None:
    """By an earlier version and a clock that was ahead: the one that was set last counts."""
    file = tmp_path / "ledger.sqlite"
    with Retained(file, clock) as earlier:
        family(earlier, "before")
        clock.now = START + timedelta(days=3650)
        earlier.keep(days=5)
    with behind_its_back(file) as connection:
        connection.execute("PRAGMA user_version = 5")
    clock.now = START + timedelta(hours=1)
    with Retained(file, clock) as kept:
        kept.keep(days=30)
        family(kept, "a")
        clock.advance(days=29)
        assert kept.run().swept is None
        clock.advance(days=2)
        assert kept.run().swept is not None
        check(kept)


def test_what_a_slow_clock_stamped_is_not_older_for_it(kept: Retained, clock: Clock) -> None:
    """An earlier version recorded the end of a job, and the deletion of a drive, in the past."""
    for number in range(9):
        drive(kept, f"before-{number}")
    stamped_by(kept, lambda: clock() - timedelta(days=DAYS + 1))
    family(kept, "a")
    kept.do(DeleteDrives(ME, ("before-0",)))
    stamped_by(kept, clock)
    for number in range(30):
        drive(kept, f"after-{number}")
    kept.ledger.exclusive(lambda c: date_stored(c, clock())).result()
    assert kept.run().swept is None
    due = kept.retention.status().next_due
    assert due is not None
    assert clock() < due <= clock() + timedelta(days=DAYS)
    clock.advance(days=DAYS, seconds=1)
    swept = kept.run().swept
    assert swept is not None
    assert (swept.trees, swept.streams) == (1, 1)


def test_nothing_is_discarded_while_the_clock_is_behind_the_newest_event(
    kept: Retained, clock: Clock
) -> None:
    """Time stands still then, and no age can be told; it goes on once the clock has caught up."""
    family(kept, "a")
    clock.advance(days=DAYS + 1)
    family(kept, "b")
    clock.advance(hours=-2)
    kept.boot = "boot-2"
    with pytest.raises(ClockMoved, match="2:00:00 behind the newest event"):
        kept.run()
    assert kept.retention.status().clock_behind is not None
    clock.advance(hours=2)
    assert kept.run().swept is not None
    assert jobs(kept) == {"b", "b-below"}


def test_a_clock_that_is_years_ahead_after_a_boot(kept: Retained, clock: Clock) -> None:
    """Discards nothing until somebody says that it is right."""
    family(kept, "a")
    kept.run()
    kept.boot = "boot-2"
    clock.advance(days=3650)
    with pytest.raises(ClockMoved):
        kept.run()
    kept.retention.confirm_clock()
    kept.run()
    assert jobs(kept) == set()


def test_a_replay_beside_a_run_sees_one_moment(kept: Retained, clock: Clock) -> None:
    """An archive that is written after its snapshot is none of its business."""
    family(kept, "a")
    clock.advance(days=DAYS, seconds=1)

    @contextmanager
    def overtaken() -> Iterator[Log]:
        with kept.ledger.log() as log:
            assert kept.run().compacted is not None
            yield log

    replayed = replay(overtaken, lambda done, total: None, kept.archives)
    assert replayed.divergence is None
    check(kept)


def test_the_past_beside_a_run_is_one_moment(kept: Retained, clock: Clock) -> None:
    """What is archived after the snapshot is told of once."""
    family(kept, "c")
    clock.advance(days=DAYS, seconds=1)
    with kept.views.long_snapshot() as snapshot:
        snapshot.has_job("x")
        position = kept.ledger.position
        kept.run()
        page = Past(snapshot, kept.shelf, position).jobs(ME, None, limit=99, offset=0)
        assert page.total == len({tree.job.uuid for tree in page.trees}) == 2
        assert Past(snapshot, kept.shelf, position).job("c", ME) is not None


def test_a_plan_of_the_past_after_a_crash_names_a_tree_once(kept: Retained, clock: Clock) -> None:
    """Though both an archive that was not recorded and the store tell of it."""
    family(kept, "a")
    clock.advance(days=DAYS, seconds=1)
    then = clock.now
    clock.advance(seconds=1)
    execute = kept.ledger.execute_blocking

    def crash(command: Command, by: Caller) -> int:
        if isinstance(command, RecordArchive):
            raise KeyboardInterrupt
        return execute(command, by)

    kept.ledger.execute_blocking = crash
    with pytest.raises(KeyboardInterrupt):
        kept.run()
    kept.ledger.execute_blocking = execute
    assert len(kept.retention.plan(as_of=then).trees) == 1
    check(kept)


def test_an_unreadable_act_is_named(kept: Retained, clock: Clock) -> None:
    """By whoever meets it: nothing is discarded, rebuilt or called sound with it."""
    family(kept, "a")
    clock.advance(days=DAYS, seconds=1)
    kept.run()
    event = poison(kept, "sweep-act-000001", version=1)
    for ask in (kept.run, kept.retention.status, kept.retention.plan, kept.rebuild):
        with pytest.raises(UnreadableStream, match=f"position {event.position}"):
            ask()
    for archives in (None, kept.archives):
        divergence = kept.replay(archives).divergence
        assert divergence is not None
        assert (divergence.position, divergence.stream) == (event.position, "sweep-act-000001")
    event.mend()
    check(kept)


def test_a_shown_stream_that_has_lost_its_first_event(kept: Retained, clock: Clock) -> None:
    """No compaction did that: a rebuild stops, and a sweep parks it, so that its tree stays."""
    family(kept, "a")
    with behind_its_back(kept.file) as connection:
        connection.execute(
            "DELETE FROM stored_events"
            " WHERE originator_id = 'job-a-below' AND originator_version = 1"
        )
    with pytest.raises(UnreadableStream, match="its first event is not there"):
        kept.rebuild()
    clock.advance(days=DAYS, seconds=1)
    swept = kept.run().swept
    assert swept is not None
    assert swept.parked == ["job-a-below"]
    assert jobs(kept) == {"a", "a-below"}
    assert kept.replay().divergence is not None


def test_acts_are_discarded_once(kept: Retained, clock: Clock) -> None:
    """Not again by each sweep until the next archive is written."""
    for step in range(8 * 24):
        if step % 12 == 0:
            family(kept, f"family-{step}")
        clock.advance(hours=1)
        kept.retention.run_if_worthwhile()
    with kept.ledger.log() as log:
        known = projections.maintenance.retention.plan.sweeps(log)
    gone = [stream for sweep in known for stream in sweep.others]
    assert len(gone) == len(set(gone)) > 0
