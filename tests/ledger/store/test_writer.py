"""The group-commit writer: one thread, and one transaction for all callers that wait."""

import asyncio
import gc
import logging
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import ledger.store.writer.deciding
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.servers import CreateServers, NewServer
from ledger.domain.commands.tags import CreateTags, EditTag, NewTag
from ledger.domain.errors import AlreadyExists, Expected
from ledger.domain.errors.drives import DriveBusy, DriveNotFound
from ledger.domain.errors.pools import UnknownStorageType
from ledger.domain.errors.store import StoreFailed, StoreUnreachable
from ledger.domain.errors.tags import TagNotFound
from ledger.domain.events.jobs import Resource
from ledger.store.patience import STAMP_S
from ledger.store.seam import Batch, Commit, Conflict, Cursor, StampsRefused
from ledger.store.writer import BATCH_LIMIT, Caller, group_commit
from ledger.store.writer.group_commit import BATCH_BYTES
from tests.support.opened import CALLER, Opened
from tests.support.read_models import drives_of
from tests.support.wait import PATIENCE_S, wait_for, wait_until
from tests.support.world import ME, disk, machine, mount


def new_drive(uuid: str, **more: object) -> CreateDrives:
    return CreateDrives(ME, (NewDrive(uuid, disk(**more)),), "blank")


def drives(opened: Opened) -> list[str]:
    with opened.snapshot() as snapshot:
        return sorted(drive.uuid for drive in drives_of(snapshot, ME))


@contextmanager
def held(opened: Opened) -> Iterator[None]:
    """Keeps the writer busy, so that what is asked for meanwhile waits together."""
    go, busy = threading.Event(), threading.Event()

    def wait(_: Cursor) -> None:
        busy.set()
        assert go.wait(PATIENCE_S)

    future = opened.ledger.exclusive(wait)
    assert busy.wait(PATIENCE_S)
    try:
        yield
    finally:
        go.set()
        future.result(PATIENCE_S)


async def together(opened: Opened, *commands: object) -> list[object]:
    """Executes the commands so that the writer takes them all at once; how each ended."""
    with held(opened):
        tasks = [asyncio.ensure_future(opened.ledger.execute(c, CALLER)) for c in commands]
        await asyncio.sleep(0)
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)


@pytest.fixture
def batches(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """What is appended from now on."""
    taken: list[Batch] = []
    append = opened.store.append

    def spy(batch: Batch) -> int:
        taken.append(batch)
        return append(batch)

    monkeypatch.setattr(opened.store, "append", spy)
    return taken


# Together


async def test_64_callers_at_once_lose_nothing(opened: Opened) -> None:
    """Each one's commands are all recorded, in its own order, and read at once."""

    async def one(nth: int) -> None:
        job = f"j{nth}"
        await opened.ledger.execute(CreateJob(ME, job, "x"), CALLER)
        await opened.ledger.execute(StartAttempt(job, 1, "w"), CALLER)
        for progress in range(0, 101, 10):
            await opened.ledger.execute(UpdateProgress(job, 1, progress), CALLER)
            with opened.snapshot() as snapshot:
                tree = snapshot.job(job, ME)
            assert tree is not None
            assert progress == tree.job.progress
        await opened.ledger.execute(SucceedJob(job, 1), CALLER)

    await asyncio.wait_for(asyncio.gather(*map(one, range(64))), PATIENCE_S)
    with opened.snapshot() as snapshot:
        assert snapshot.count_jobs(ME, ["success"]) == 64
    with opened.ledger.log() as log:
        assert log.count() == 64 * 14
    assert opened.replay().divergence is None


async def test_waiting_commands_are_committed_together(
    opened: Opened, batches: list[Batch]
) -> None:
    """One transaction for all of them, up to the limit."""
    await together(opened, *(new_drive(f"d{nth}") for nth in range(BATCH_LIMIT + 1)))
    assert [len(batch.events) for batch in batches] == [BATCH_LIMIT, 1]


def test_nobody_waits_for_all_commands_of_another(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while one account has many in hand is next, however long each of them takes."""
    monkeypatch.setattr(group_commit, "BATCH_S", 0.0)
    order: list[str] = []
    ledger, many = opened.ledger, [new_drive(f"d{nth}") for nth in range(9)]
    queue = ledger._writer._queue
    with ThreadPoolExecutor(len(many) + 1) as threads:

        def come_late(commit: Commit) -> None:
            order.extend(stream for stream, _ in commit.events)
            if len(order) == 1:
                threads.submit(ledger.execute_blocking, late, Caller("another", "request"))
                wait_for("it waits", lambda: not queue.empty())

        late = CreateTags("another", (NewTag("late", "late", {}, ()),))
        ledger.listen_here(come_late)
        with held(opened):
            begun = [threads.submit(ledger.execute_blocking, each, CALLER) for each in many]
            wait_for("all wait", lambda: queue.qsize() == len(many))
        for each in begun:
            each.result(PATIENCE_S)
        wait_for("all are recorded", lambda: len(order) == len(many) + 1)
    assert order.index("tag-late") <= 2


async def test_accounts_take_turns_within_a_batch(opened: Opened) -> None:
    """Each keeps the order of its own."""
    order: list[str] = []
    opened.ledger.listen_here(lambda commit: order.extend(stream for stream, _ in commit.events))
    callers = [Caller(name, "request") for name in ("a", "a", "a", "b", "c", "b")]
    with held(opened):
        tasks = [
            asyncio.ensure_future(opened.ledger.execute(new_drive(f"{caller.actor}{nth}"), caller))
            for nth, caller in enumerate(callers)
        ]
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
    await wait_until("all are told", lambda: len(order) == len(callers))
    assert order == [f"drive-{each}" for each in ("a0", "b3", "c4", "a1", "b5", "a2")]


async def test_each_command_sees_the_changes_of_those_before_it(opened: Opened) -> None:
    """Though none of them is committed yet."""
    outcomes = await together(
        opened,
        new_drive("a"),
        MarkDriveReady("a"),
        CreateJob(ME, "j", "x", (Resource("drives", "a", "source"),)),
        DeleteDrives(ME, ("a",)),
        new_drive("a"),
        StartAttempt("j", 1, "w"),
        SucceedJob("j", 1),
        DeleteDrives(ME, ("a",)),
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert [int, int, int, DriveBusy, AlreadyExists, int, int, int] == kinds
    assert drives(opened) == []
    assert opened.replay().divergence is None


async def test_a_refused_command_is_refused_alone(opened: Opened) -> None:
    """Its neighbours in the batch are recorded, and of it not even its first half."""
    half = CreateDrives(
        ME, (NewDrive("half", disk()), NewDrive("x", disk(storage_type="tape"))), "blank"
    )
    outcomes = await together(opened, new_drive("a"), half, new_drive("b"), new_drive("half"))
    assert [int, UnknownStorageType, int, int] == [type(outcome) for outcome in outcomes]
    assert drives(opened) == ["a", "b", "half"]


async def test_secrets_are_kept_with_their_command_only(opened: Opened) -> None:
    """Those of a refused command are not, and they are in the transaction of its events."""
    new = [NewServer(uuid, machine(), (), (), f"secret of {uuid}") for uuid in "abc"]
    taken = CreateServers(ME, (NewServer("d", machine(), (), (), "secret of d"), new[0]))
    await together(opened, *(CreateServers(ME, (one,)) for one in new), taken)
    with opened.ledger.log() as log:
        cursor = log.cursor()
        cursor.execute("SELECT server, vnc_password FROM server_secrets ORDER BY server")
        assert cursor.fetchall() == [(uuid, f"secret of {uuid}") for uuid in "abc"]
        assert not any(b"secret" in event.state for event in log.events())


async def test_refused_commands_alone_write_nothing(opened: Opened, batches: list[Batch]) -> None:
    """There is no empty transaction."""
    outcomes = await together(opened, DeleteDrives(ME, ("a",)), DeleteDrives(ME, ("b",)))
    assert [DriveNotFound] * 2 == [type(outcome) for outcome in outcomes]
    assert batches == []


@pytest.mark.parametrize("conflicts", [0, 1])
async def test_what_a_command_needs_is_measured_during_the_commit_of_others(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, conflicts: int
) -> None:
    """It is recorded once, also if the batch that it has left is repeated."""
    opened.do(new_drive("a"), MarkDriveReady("a"))
    append, measured, tried = opened.store.append, threading.Event(), count()

    def measure(images: object, found: dict[str, int | None], *, needed: bool = True) -> tuple[()]:
        found["a"] = 7
        measured.set()
        return ()

    def append_once_measured(batch: Batch) -> int:
        assert measured.wait(PATIENCE_S)
        if next(tried) < conflicts:
            raise Conflict
        return append(batch)

    monkeypatch.setattr(opened.environment, "measure", measure)
    monkeypatch.setattr(opened.store, "append", append_once_measured)
    clone = CloneDrive(owner=ME, source="a", destination="copy", job="j")
    outcomes = await together(opened, clone, new_drive("b"))
    assert [type(outcome) for outcome in outcomes] == [int, int]
    assert drives(opened) == ["a", "b", "copy"]


async def test_many_bytes_are_committed_some_at_a_time(
    opened: Opened, batches: list[Batch]
) -> None:
    """Each transaction ends with the command that makes it too long; all are recorded in order."""
    long = {"notes": "x" * (BATCH_BYTES // 3)}
    names = [f"d{nth}" for nth in range(7)]
    positions = await together(opened, *(new_drive(name, meta=long) for name in names))
    assert [len(batch.events) for batch in batches] == [3, 3, 1]
    assert positions == sorted(positions)
    assert drives(opened) == names


async def test_a_conflict_repeats_what_was_tried(
    opened: Opened, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays one transaction, and what it had no room for is in the next."""
    long = {"notes": "x" * (BATCH_BYTES // 2)}
    append, conflicts = opened.store.append, iter([True])

    def conflict_once(batch: Batch) -> int:
        if next(conflicts, False):
            raise Conflict
        return append(batch)

    monkeypatch.setattr(opened.store, "append", conflict_once)
    await together(opened, *(new_drive(f"d{nth}", meta=long) for nth in range(4)))
    assert [len(batch.events) for batch in batches] == [2, 2]
    assert drives(opened) == ["d0", "d1", "d2", "d3"]


def test_an_id_is_taken_as_long_as_a_tail_is_left_of_its_stream(opened: Opened) -> None:
    """Whether the writer has met the stream or not, what was compacted does not come back."""
    opened.do(CreateTags(ME, (NewTag("t", "old"),)), EditTag(ME, "t", name="older"))
    opened.ledger.exclusive(
        lambda cursor: cursor.execute("DELETE FROM stored_events WHERE originator_version = 1")
    ).result()
    opened.ledger.exclusive(lambda _: opened.ledger.forget()).result()
    for _ in range(2):
        with pytest.raises(AlreadyExists):
            opened.do(CreateTags(ME, (NewTag("t", "new"),)))
        with pytest.raises(TagNotFound):
            opened.do(EditTag(ME, "t", name="newer"))
    opened.do(CreateTags(ME, (NewTag("other", "new"),)))


async def test_a_decision_that_crashes_fails_alone(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug affects one caller, who gets the exception; the writer continues."""
    decide = ledger.store.writer.deciding.decide

    def crash(command: object, *rest: object) -> object:
        changes = decide(command, *rest)
        if command != new_drive("b"):
            return changes
        return _crashing(changes)

    monkeypatch.setattr(ledger.store.writer.deciding, "decide", crash)
    outcomes = await together(opened, new_drive("a"), new_drive("b"), new_drive("c"))
    assert [int, ZeroDivisionError, int] == [type(outcome) for outcome in outcomes]
    assert drives(opened) == ["a", "c"]
    assert "a command could not be decided" in caplog.text
    assert opened.do(new_drive("d")) > 0


def _crashing(changes: Iterator[object]) -> Iterator[object]:
    yield from changes
    raise ZeroDivisionError


UNSTORABLE = {
    "a surrogate in the request's id": (new_drive("b"), Caller(ME, "\udcff")),
    "a surrogate in a name": (new_drive("b", name="\ud800"), CALLER),
    "a surrogate in an error": (FailJob("j", 1, "/tmp/\udcff: no such file"), CALLER),  # noqa: S108
    "a size beyond 63 bits": (new_drive("b", size=2**63), CALLER),
    "a size beyond 64 bits": (new_drive("b", size=2**64), CALLER),
}


@pytest.mark.parametrize("why", UNSTORABLE)
async def test_a_command_that_cannot_be_stored_fails_alone(opened: Opened, why: str) -> None:
    """What slips through to the store costs one caller, not the writer."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    command, caller = UNSTORABLE[why]
    with held(opened):
        tasks = [
            asyncio.ensure_future(opened.ledger.execute(new_drive("a"), CALLER)),
            asyncio.ensure_future(opened.ledger.execute(command, caller)),
            asyncio.ensure_future(opened.ledger.execute(new_drive("c"), CALLER)),
        ]
        await asyncio.sleep(0)
    first, failed, last = await asyncio.wait_for(
        asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S
    )
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert isinstance(failed, Exception)
    assert not isinstance(failed, StoreFailed)
    assert drives(opened) == ["a", "c"]
    assert opened.failures == []
    opened.do(new_drive("d"))
    assert opened.replay().divergence is None


async def test_the_command_of_a_caller_that_leaves_is_recorded(opened: Opened) -> None:
    """Its command is recorded all the same, and nobody else notices."""
    with held(opened):
        tasks = [
            asyncio.ensure_future(opened.ledger.execute(new_drive(uuid), CALLER)) for uuid in "abc"
        ]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
    assert [int, asyncio.CancelledError, int] == [type(result) for result in results]
    assert drives(opened) == ["a", "b", "c"]


def test_an_event_loop_that_closes_loses_nothing(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """Its commands are recorded, and the writer continues."""

    async def ask_and_leave() -> None:
        task = asyncio.ensure_future(opened.ledger.execute(new_drive("a"), CALLER))
        await asyncio.sleep(0)
        task.cancel()

    with held(opened):
        asyncio.run(ask_and_leave())
    opened.do(new_drive("b"))
    assert drives(opened) == ["a", "b"]
    assert "an event loop closed" in caplog.text


def test_exclusive_work_of_a_caller_that_left_is_skipped(opened: Opened) -> None:
    """It had not begun; the writer continues."""
    done: list[int] = []
    with held(opened):
        left = opened.ledger.exclusive(lambda _: done.append(1))
        assert left.cancel()
    opened.do(new_drive("a"))
    assert done == []


# Order and time


def test_positions_are_returned_in_order(opened: Opened) -> None:
    """The position after a command is at least that of its last event."""
    first = opened.do(new_drive("a"))
    assert opened.do(new_drive("b")) > first
    with opened.ledger.log() as log:
        assert log.last_position() == first + 1


def test_exclusive_work_has_its_turn_between_commands(opened: Opened) -> None:
    """After one that was before it, before those behind it, and `afterwards` at once."""
    order: list[str] = []
    opened.ledger.listen(lambda commit: order.extend(stream for stream, _ in commit.events))
    with ThreadPoolExecutor(2) as threads:
        with held(opened):
            first = threads.submit(opened.do, new_drive("a"))
            waiting = opened.ledger._writer._queue
            wait_for("the first command waits", lambda: waiting.qsize() == 1)
            work = opened.ledger.exclusive(
                lambda _: order.append("work"), afterwards=lambda: order.append("afterwards")
            )
            second = threads.submit(opened.do, new_drive("b"))
            wait_for("the second waits behind the work", lambda: waiting.qsize() == 3)
        first.result(PATIENCE_S)
        second.result(PATIENCE_S)
        work.result(PATIENCE_S)
    assert order == ["drive-a", "work", "afterwards", "drive-b"]


def test_afterwards_sees_the_work_committed(opened: Opened) -> None:
    """With a reader of its own, before anybody is notified."""
    seen: list[object] = []

    def look() -> None:
        with opened.ledger.log() as log:
            cursor = log.cursor()
            cursor.execute("SELECT vnc_password FROM server_secrets")
            seen.append(cursor.fetchall())

    opened.ledger.exclusive(
        lambda cursor: cursor.execute("INSERT INTO server_secrets VALUES ('s', 'pw')") and None,
        afterwards=look,
    ).result(PATIENCE_S)
    assert seen == [[("pw",)]]


def test_afterwards_is_not_called_for_work_that_failed(opened: Opened) -> None:
    """The caller gets the exception, and the writer continues."""
    called: list[int] = []

    def work(_: Cursor) -> None:
        raise KeyError("mine")

    future = opened.ledger.exclusive(work, afterwards=lambda: called.append(1))
    with pytest.raises(KeyError, match="mine"):
        future.result(PATIENCE_S)
    assert called == []
    opened.do(new_drive("a"))


async def test_listeners_are_notified_of_commits(opened: Opened) -> None:
    """In order, once it can be read, and nothing of what was refused."""
    told: list[tuple[str, str, bool]] = []

    def listen(commit: Commit) -> None:
        for stream, recorded in commit.events:
            told.append((stream, recorded.request_id, opened.current(stream) is not None))

    opened.ledger.listen(listen)
    await together(opened, new_drive("a"), DeleteDrives(ME, ("x",)), new_drive("b"))
    opened.do(new_drive("c"))
    opened.ledger.exclusive(lambda _: None).result(PATIENCE_S)
    assert [(f"drive-{uuid}", CALLER.request_id, True) for uuid in "abc"] == told


def test_a_commit_holds_the_new_states_of_its_streams(opened: Opened) -> None:
    """Also of deleted streams, and of those about which other streams say something new."""
    told: list[Commit] = []
    opened.do(new_drive("a"), new_drive("b"), MarkDriveReady("a"), MarkDriveReady("b"))
    opened.ledger.listen(told.append)
    server = NewServer("s", machine(), (mount("a"), mount("b", 1)), (), "hush")
    opened.do(CreateServers(ME, (server,)), DeleteDrives(ME, ("b",)), CreateJob(ME, "j", "x"))
    opened.do(CloneDrive(ME, "a", "c", "k"))
    opened.ledger.exclusive(lambda _: None).result(PATIENCE_S)

    related = [commit.related for commit in told]
    assert related == [frozenset("ab"), frozenset("b"), frozenset(), frozenset("ac")]
    for commit in told:
        assert set(commit.states) == {stream for stream, _ in commit.events}
    deletion = told[1].states
    assert deletion["drive-b"].owner == ME
    assert deletion["drive-b"].deleted is not None
    assert [mounted.drive for mounted in deletion["server-s"].mounts] == ["a"]


def test_the_position_is_raised_before_anybody_is_notified(opened: Opened) -> None:
    """It is that of the newest event, found in the store at the start; a refusal raises nothing."""
    seen: list[tuple[int, int]] = []
    opened.do(new_drive("a"))
    with Opened(opened.file) as second:
        second.ledger.listen(lambda commit: seen.append((commit.position, second.ledger.position)))
        at_the_start = second.ledger.position
        answered = second.do(new_drive("b"))
        with pytest.raises(DriveNotFound):
            second.do(DeleteDrives(ME, ("x",)))
        second.ledger.exclusive(lambda _: None).result(PATIENCE_S)
        with second.ledger.log() as log:
            newest = log.last_position()
        assert at_the_start == newest - 1
        assert answered == second.ledger.position == newest
        assert seen == [(newest, newest)]


def test_a_failing_listener_affects_nobody_else(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are notified, callers are answered, and the error is logged."""
    told: list[object] = []

    def fail(_: object) -> None:
        raise ZeroDivisionError

    opened.ledger.listen(fail)
    opened.ledger.listen(told.append)
    opened.do(new_drive("a"), new_drive("b"))
    opened.ledger.exclusive(lambda _: None).result(PATIENCE_S)
    assert len(told) == 2
    assert "a listener failed" in caplog.text


# The end


async def test_stop_finishes_waiting_commands(tmp_path: Path) -> None:
    """Commands that were accepted into the queue are recorded, then no more are taken."""
    opened = Opened(tmp_path / "ledger.sqlite")
    with held(opened):
        tasks = [
            asyncio.ensure_future(opened.ledger.execute(new_drive(f"d{nth}"), CALLER))
            for nth in range(BATCH_LIMIT + 10)
        ]
        await asyncio.sleep(0)
        work = opened.ledger.exclusive(lambda _: "done")
        stopping = asyncio.ensure_future(asyncio.to_thread(opened.ledger._writer.stop))
        await wait_until("it is told to stop", lambda: opened.ledger._writer._closed)
    await asyncio.wait_for(asyncio.gather(*tasks, stopping), PATIENCE_S)
    assert work.result(0) == "done"
    assert len(drives(opened)) == BATCH_LIMIT + 10
    with pytest.raises(StoreUnreachable):
        await opened.ledger.execute(new_drive("late"), CALLER)
    with pytest.raises(StoreFailed):
        opened.ledger.exclusive(lambda _: None)
    opened.close()


async def test_once_the_store_has_failed_everything_is_refused(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch, those waiting behind it and all later ones, even if the store works again."""
    opened.do(new_drive("before"))
    caplog.set_level(logging.CRITICAL)
    append = opened.store.append

    def fail_once(batch: Batch) -> int:
        monkeypatch.setattr(opened.store, "append", append)
        raise StoreFailed("the disk is on fire")

    monkeypatch.setattr(opened.store, "append", fail_once)
    with held(opened):
        tasks = [
            asyncio.ensure_future(opened.ledger.execute(new_drive(f"d{nth}"), CALLER))
            for nth in range(BATCH_LIMIT + 10)
        ]
        await asyncio.sleep(0)
        work = opened.ledger.exclusive(lambda _: None)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
    assert {"the disk is on fire"} == {str(outcome) for outcome in outcomes}
    assert {StoreFailed} == {type(outcome) for outcome in outcomes}
    with pytest.raises(StoreFailed):
        work.result(PATIENCE_S)
    with pytest.raises(StoreFailed, match="on fire"):
        opened.do(new_drive("later"))
    assert drives(opened) == ["before"]
    assert [str(failure) for failure in opened.failures] == ["the disk is on fire"]


async def test_a_store_that_cannot_read_has_failed_too(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision on what cannot be read must not be made."""

    def fail(_: Callable[[Cursor], Any]) -> None:
        raise StoreFailed("unreadable")

    monkeypatch.setattr(opened.store, "read", fail)
    outcomes = await together(opened, new_drive("a"), MarkDriveReady("b"))
    assert [StoreFailed] * 2 == [type(outcome) for outcome in outcomes]
    assert len(opened.failures) == 1


def test_exclusive_work_that_meets_a_failing_store_stops_the_writer(opened: Opened) -> None:
    """Exclusive work is no exception."""

    def work(_: Cursor) -> None:
        raise StoreFailed("mid-way")

    with pytest.raises(StoreFailed, match="mid-way"):
        opened.ledger.exclusive(work).result(PATIENCE_S)
    with pytest.raises(StoreFailed):
        opened.do(new_drive("a"))
    assert len(opened.failures) == 1


async def test_timestamps_grow_within_a_batch(opened: Opened) -> None:
    """No two commands share a timestamp, and timestamps give their order."""
    await together(opened, *(new_drive(f"d{nth}") for nth in range(50)))
    with opened.snapshot() as snapshot:
        listed = [drive.uuid for drive in drives_of(snapshot, ME)]
    assert [f"d{nth}" for nth in range(50)] == listed


def test_a_refusal_of_stamps_is_over_once_its_command_is_refused(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one, however much later, is the first again and no reason to give up."""
    append, minutes = opened.store.append, count(step=STAMP_S + 1)

    def refuse(batch: Batch) -> int:
        if next(refusals, None):
            raise StampsRefused
        return append(batch)

    def decide_late(command: object, *rest: object) -> object:
        if command == DeleteDrives(ME, ("a",)) and next(too_late):
            raise DriveNotFound("a")
        return decide(command, *rest)

    opened.do(new_drive("a"))
    refusals, too_late, decide = (
        iter([True, True]),
        iter([False, True]),
        ledger.store.writer.deciding.decide,
    )
    monkeypatch.setattr(ledger.store.writer.deciding, "decide", decide_late)
    monkeypatch.setattr(opened.store, "append", refuse)
    monkeypatch.setattr(opened.ledger._writer._group, "_elapsed_s", lambda: next(minutes))
    with pytest.raises(DriveNotFound):
        opened.do(DeleteDrives(ME, ("a",)))
    opened.do(new_drive("b"))
    assert drives(opened) == ["a", "b"]


def test_refusals_are_found_in_the_callers_thread(opened: Opened) -> None:
    """A blocking caller gets the refusal itself."""
    with pytest.raises(DriveNotFound, match="nothing"):
        opened.do(DeleteDrives(ME, ("nothing",)))


@pytest.mark.parametrize("kind", [StoreUnreachable, ZeroDivisionError])
async def test_work_may_fail_after_its_caller_has_gone(
    opened: Opened, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    """As a client may that logs out while the store is away. Only what is unexpected is logged."""
    began, may_end = threading.Event(), threading.Event()

    def fail(_: Cursor) -> None:
        began.set()
        assert may_end.wait(PATIENCE_S)
        raise kind("too late")

    caller = asyncio.create_task(opened.ledger.write(fail))
    await wait_until("it is under way", began.is_set)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    may_end.set()
    await opened.ledger.write(lambda _: None)  # after which the first has ended
    gc.collect()  # only then does asyncio tell of what nobody has retrieved
    logged = [record.getMessage() for record in caplog.records]
    expected = issubclass(kind, Expected)
    assert logged == ([] if expected else ["work failed for which nobody waited any more"])


async def test_what_requests_want_recorded_counts_as_use(opened: Opened) -> None:
    """Reports of workers do not: copies would leave room for their own."""
    opened.do(new_drive("a"))
    assert opened.ledger.commits_under_way.unasked_s == math.inf
    await opened.ledger.execute(new_drive("b"), CALLER)
    assert opened.ledger.commits_under_way.unasked_s < math.inf


def test_a_pause_between_commits_is_awaited(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, begun, go_on = opened.store.append, threading.Event(), threading.Event()

    def held_up(batch: Batch) -> int:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        order.append("committed")
        return append(batch)

    order: list[str] = []
    commits = opened.ledger.commits_under_way
    monkeypatch.setattr(opened.store, "append", held_up)
    with ThreadPoolExecutor() as threads:
        commit = threads.submit(opened.do, new_drive("a"))
        assert begun.wait(PATIENCE_S)
        commits.await_pause(0.0)  # not for longer than one wants to
        paused = threads.submit(commits.await_pause, PATIENCE_S)
        paused.add_done_callback(lambda _: order.append("paused"))
        go_on.set()
        commit.result()
        paused.result()
    assert order == ["committed", "paused"]
