"""Another process writes to the ledger that a writer has cached."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.drives import DriveBusy, DriveNotFound
from ledger.domain.errors.jobs import JobOver, ProgressWentBack
from ledger.domain.errors.store import ConcurrentChange
from ledger.store import state_cache
from ledger.store.seam import Batch, Conflict, Cursor, StampsRefused
from ledger.store.tables.streams import Stored, stored_since
from ledger.store.writer import CONFLICT_LIMIT, LOST_LIMIT
from tests.ledger.store.test_writer import drives, new_drive, together
from tests.support.opened import Opened
from tests.support.world import ME, Foreseen, disk


@pytest.fixture
def other(opened: Opened) -> Iterator[Opened]:
    """Another process's ledger over the same file."""
    with Opened(opened.file, environment=Foreseen(prefix="other")) as ledger:
        yield ledger


def watch_pauses(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether others are kept from appending, as asked at any time."""
    is_paused = False

    @contextmanager
    def paused() -> Iterator[None]:
        nonlocal is_paused
        assert not is_paused
        is_paused = True
        try:
            yield
        finally:
            is_paused = False

    monkeypatch.setattr(opened.ledger._writer._group, "paused", paused)
    return lambda: is_paused


def test_a_writer_does_not_conflict_with_itself(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It remembers the versions and guards that it has written: every batch is stored at once."""
    append, conflicts = opened.store.append, []

    def spy(batch: Batch) -> int:
        try:
            return append(batch)
        except Conflict as conflict:
            conflicts.append(conflict)
            raise

    monkeypatch.setattr(opened.store, "append", spy)
    opened.do(CreateDrives(ME, (NewDrive("d", disk()),), "blank"), MarkDriveReady("d"))
    for nth in range(3):
        opened.do(
            CloneDrive(ME, "d", f"copy-{nth}", f"j{nth}"),
            StartAttempt(f"j{nth}", 1, "w"),
            SucceedJob(f"j{nth}", 1),
        )
    opened.do(DeleteDrives(ME, ("d",)), DeleteDrives(ME, ("copy-1",)))
    assert conflicts == []


def test_a_command_that_meets_a_new_version_is_redone(opened: Opened, other: Opened) -> None:
    """The stream is read again, and the command decided on what is there now."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    other.do(UpdateProgress("j", 1, 40))
    opened.do(UpdateProgress("j", 1, 50))
    job = other.current("job-j")
    assert job is not None
    assert job.progress == 50
    assert opened.replay().divergence is None


def test_a_command_that_is_redone_may_be_refused(opened: Opened, other: Opened) -> None:
    """The earlier decision does not count."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    other.do(SucceedJob("j", 1))
    with pytest.raises(JobOver):
        opened.do(UpdateProgress("j", 1, 50))
    assert opened.replay().divergence is None


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_clone_conflicts_with_a_deletion_of_its_source(
    opened: Opened, other: Opened, times: int
) -> None:
    """They write to no common stream, but one of them is refused."""
    opened.do(CreateDrives(ME, (NewDrive("d", disk()),), "blank"), MarkDriveReady("d"))
    for nth in range(times):
        other.do(CloneDrive(ME, "d", f"copy-{nth}", f"j{nth}"))
    with pytest.raises(DriveBusy):
        opened.do(DeleteDrives(ME, ("d",)))
    assert opened.current("drive-d") == other.current("drive-d")
    assert opened.replay().divergence is None


def test_a_deletion_conflicts_with_a_clone_of_its_drive(opened: Opened, other: Opened) -> None:
    """The other way round."""
    opened.do(CreateDrives(ME, (NewDrive("d", disk()),), "blank"), MarkDriveReady("d"))
    other.do(DeleteDrives(ME, ("d",)))
    with pytest.raises(DriveNotFound):
        opened.do(CloneDrive(ME, "d", "copy", "j"))
    assert opened.replay().divergence is None


def test_outdated_state_is_read_again_after_a_conflict(opened: Opened, other: Opened) -> None:
    """Also what concerns a drive that the refused command did not look at."""
    opened.do(
        CreateDrives(ME, (NewDrive("d", disk()),), "blank"),
        MarkDriveReady("d"),
        CloneDrive(ME, "d", "copy", "j"),
        StartAttempt("j", 1, "w"),
    )
    other.do(SucceedJob("j", 1))
    with pytest.raises(JobOver):
        opened.do(SucceedJob("j", 1))
    opened.do(DeleteDrives(ME, ("d",)))


@pytest.mark.parametrize("known", [1, 30])
def test_only_what_others_have_added_is_read(
    opened: Opened, other: Opened, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """However long the stream is: a job above thousands has as many events."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    opened.do(*(UpdateProgress("j", 1, nth) for nth in range(1, known)))
    other.do(UpdateProgress("j", 1, 40), UpdateProgress("j", 1, 50))
    read: list[int] = []

    def noted(cursor: Cursor, stream: str, version: int) -> list[Stored] | None:
        stored = stored_since(cursor, stream, version)
        read.append(len(stored or ()))
        return stored

    monkeypatch.setattr(state_cache, "stored_since", noted)
    with pytest.raises(ProgressWentBack):
        opened.do(UpdateProgress("j", 1, 45))
    opened.do(UpdateProgress("j", 1, 60))
    assert read == [2]
    assert opened.replay().divergence is None


def test_a_stream_whose_id_may_be_used_again_is_read_from_its_beginning(
    opened: Opened, other: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the id of a job is spent: a drive may be gone, and another made by its name."""
    opened.do(new_drive("d"))
    other.do(DeleteDrives(ME, ("d",)))
    asked: list[tuple[str, int]] = []

    def noted(cursor: Cursor, stream: str, version: int) -> list[Stored] | None:
        asked.append((stream, version))
        return stored_since(cursor, stream, version)

    monkeypatch.setattr(state_cache, "stored_since", noted)
    with pytest.raises(DriveNotFound):
        opened.do(DeleteDrives(ME, ("d",)))
    assert {version for stream, version in asked if stream == "drive-d"} == {0}


async def test_a_batch_that_has_lost_is_repeated_whole(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halves would lose one by one; after a few conflicts, others wait for it."""
    seen: list[tuple[int, bool]] = []
    is_paused = watch_pauses(opened, monkeypatch)
    append = opened.store.append

    def conflict(batch: Batch) -> int:
        seen.append((len(batch.events), is_paused()))
        if len(seen) <= LOST_LIMIT + 1:
            raise Conflict
        return append(batch)

    monkeypatch.setattr(opened.store, "append", conflict)
    await together(opened, *(new_drive(f"d{nth}") for nth in range(8)))
    assert seen == [(8, False)] * (LOST_LIMIT + 1) + [(8, True)]


async def test_a_command_that_always_conflicts_costs_nobody_else_a_command(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the batch conflicts although others wait, it is repeated in halves."""
    append = opened.store.append

    def conflict(batch: Batch) -> int:
        if "drive-d5" in {event.originator_id for event in batch.events}:
            raise Conflict
        return append(batch)

    monkeypatch.setattr(opened.store, "append", conflict)
    outcomes = await together(opened, *(new_drive(f"d{nth}") for nth in range(8)))
    refused = [nth for nth, outcome in enumerate(outcomes) if not isinstance(outcome, int)]
    assert refused == [5]
    assert isinstance(outcomes[5], ConcurrentChange)
    assert drives(opened) == [f"d{nth}" for nth in range(8) if nth != 5]


async def test_a_conflict_costs_nobody_else_a_command(opened: Opened, other: Opened) -> None:
    """The batch is redone; all that can be recorded is."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    other.do(UpdateProgress("j", 1, 40))
    commands = [new_drive(f"d{nth:02}") for nth in range(20)]
    outcomes = await together(
        opened,
        *commands[:10],
        UpdateProgress("j", 1, 50),
        new_drive("d03"),
        UpdateProgress("j", 1, 30),
        *commands[10:],
    )
    refused = [type(outcome) for outcome in outcomes if not isinstance(outcome, int)]
    assert [AlreadyExists, ProgressWentBack] == refused
    assert [f"d{nth:02}" for nth in range(20)] == drives(opened)
    assert opened.replay().divergence is None


async def test_two_processes_at_once_lose_nothing(opened: Opened, other: Opened) -> None:
    """Both continue the same streams and clone the same drive, all the time."""
    opened.do(CreateDrives(ME, (NewDrive("d", disk()),), "blank"), MarkDriveReady("d"))
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))

    def work(process: Opened, name: str) -> int:
        recorded = 0
        for nth in range(40):
            try:
                process.do(UpdateProgress("j", 1, nth))
                recorded += 1
            except ProgressWentBack:
                pass
            process.do(CloneDrive(ME, "d", f"{name}-{nth}", f"{name}-job-{nth}"))
        return recorded

    recorded = sum(
        await asyncio.gather(
            asyncio.to_thread(work, opened, "one"), asyncio.to_thread(work, other, "two")
        )
    )
    with opened.snapshot() as snapshot:
        assert snapshot.count("drives", ME) == 81
        assert snapshot.count_jobs(ME, ["started"]) == 81
    with opened.ledger.log() as log:
        assert 2 + recorded == len(log.stream("job-j"))
    assert opened.replay().divergence is None


def test_nobody_waits_for_the_stores_time(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others pause for a command that has lost too often, but not while its stamps are refused."""
    group, append = opened.ledger._writer._group, opened.store.append
    errors_first = iter([Conflict] * (LOST_LIMIT + 1) + [StampsRefused] * 3)
    is_paused = watch_pauses(opened, monkeypatch)
    seen: list[tuple[str, bool]] = []

    def refuse(batch: Batch) -> int:
        error = next(errors_first, None)
        seen.append(("recorded" if error is None else error.__name__, is_paused()))
        if error is not None:
            raise error
        return append(batch)

    def may_stamp_again() -> bool:
        seen.append(("waits", is_paused()))
        return True

    monkeypatch.setattr(group, "_may_stamp_again", may_stamp_again)
    monkeypatch.setattr(opened.store, "append", refuse)
    opened.do(new_drive("d"))
    assert ("waits", True) not in seen
    assert ("StampsRefused", True) in seen
    assert seen[-1][0] == "recorded"


@pytest.mark.parametrize("conflicts", [CONFLICT_LIMIT, CONFLICT_LIMIT + 1])
def test_repeated_conflicts_are_abandoned(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, conflicts: int
) -> None:
    """After so many, the caller is asked to try again, and the writer continues."""
    append, left = opened.store.append, [conflicts]

    def conflict(batch: Batch) -> int:
        if left[0]:
            left[0] -= 1
            raise Conflict
        return append(batch)

    monkeypatch.setattr(opened.store, "append", conflict)
    if conflicts <= CONFLICT_LIMIT:
        opened.do(new_drive("a"))
    else:
        with pytest.raises(ConcurrentChange):
            opened.do(new_drive("a"))
    opened.do(new_drive("b"))
    assert left[0] == 0
    assert opened.failures == []
