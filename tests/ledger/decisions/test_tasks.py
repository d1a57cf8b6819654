"""The work on images that follows from recorded events."""

from collections.abc import Iterable

import pytest

from ledger.domain import image_tasks as tasks
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.commands.jobs import CancelJob, CreateJob, FailJob, StartAttempt, SucceedJob
from ledger.domain.commands.servers import CloneServer
from ledger.domain.events.drives import drive_stream
from ledger.domain.events.jobs import job_stream
from ledger.domain.image_tasks import (
    GrowImage,
    MakeImage,
    RemoveFiles,
    RunJob,
    Task,
    outstanding_task,
)
from tests.support.deciding import Given, given
from tests.support.world import GIB, ME, disk, mount, ready_drive, server_created


def world(*history: Command) -> Given:
    """A server with two disks, which lie in different pools."""
    return given(
        ready_drive("a", pool="fast"),
        ready_drive("b", pool="roomy"),
        server_created("s", mount("a"), mount("b", 1)),
        *history,
    )


def follow(before: Given, command: Command) -> list[Task]:
    """What a store is given to hand out with the events."""
    outcome = before.when(command)
    assert outcome.refusal is None
    before.world.settle(outcome.world)
    return before.world.tasks


CLONED = CloneDrive(ME, "a", "copy", "job", storage_type="zadara")
BLANK = CreateDrives(ME, (NewDrive("new", disk(), "fast"),), "blank")


@pytest.mark.parametrize(
    ("history", "command", "expected"),
    [
        ((), CLONED, [RunJob("job", "fast", "slow")]),
        (
            (),
            CloneServer(ME, "s", "copy", "whole"),
            [RunJob("new-2", "fast", "fast"), RunJob("new-4", "roomy", "roomy")],
        ),
        ((), BLANK, [MakeImage("new", "fast")]),
        ((), CreateDrives(ME, (NewDrive("new", disk(), "fast"),), "chunked"), []),
        ((), CreateDrives(ME, (NewDrive("new", disk(), "fast"),), "upload"), []),
        ((), CreateJob(ME, "job", "drive_clone"), []),
        ((), ResizeDrive(ME, "b", 9 * GIB), [GrowImage("b", "roomy")]),
        ((), DeleteDrives(ME, ("a", "b")), [RemoveFiles("a", "fast"), RemoveFiles("b", "roomy")]),
        ((CLONED,), CancelJob(ME, "job"), [RemoveFiles("copy", "slow")]),
        (
            (CLONED, StartAttempt("job", 1, "w")),
            FailJob("job", 1, "x"),
            [RemoveFiles("copy", "slow")],
        ),
        ((CLONED, StartAttempt("job", 1, "w")), SucceedJob("job", 1), []),
    ],
)
def test_what_follows(history: Iterable[Command], command: Command, expected: list[Task]) -> None:
    """From a command's events, in their order."""
    before = world(*history)
    earlier = len(before.world.tasks)
    assert follow(before, command)[earlier:] == expected


@pytest.mark.parametrize(
    ("history", "stream", "expected"),
    [
        ((CLONED,), job_stream("job"), RunJob("job", "fast", "slow")),
        ((CLONED,), drive_stream("copy"), None),
        ((CLONED, CancelJob(ME, "job")), job_stream("job"), None),
        ((CloneServer(ME, "s", "copy", "whole"),), job_stream("whole"), None),
        ((CreateJob(ME, "job", "drive_clone"),), job_stream("job"), None),
        ((BLANK,), drive_stream("new"), MakeImage("new", "fast")),
        ((BLANK, MarkDriveReady("new")), drive_stream("new"), None),
        ((BLANK, DeleteDrives(ME, ("new",))), drive_stream("new"), None),
        ((ResizeDrive(ME, "b", 9 * GIB),), drive_stream("b"), GrowImage("b", "roomy")),
        ((), drive_stream("never was"), None),
    ],
)
def test_what_is_outstanding(
    history: Iterable[Command], stream: str, expected: Task | None
) -> None:
    """From what there is now, however it came about."""
    found = world(*history).world
    assert outstanding_task(found.cached_stream(stream).state, found.drive_even_deleted) == expected


def test_a_task_is_written_and_read() -> None:
    """By its kind and what it is about."""
    for task in (RunJob("j", "a", "b"), MakeImage("d", "a"), GrowImage("d", "a")):
        assert tasks.decode_task(*tasks.encode_task(task)) == task


def test_queues() -> None:
    """Each belongs to workers with certain pools; the names are short and unique."""
    assert tasks.queue_of(RunJob("j", "a", "a")) == "a"
    assert tasks.queue_of(RunJob("j", "a", "b")) == "a>b"
    assert tasks.queue_of(RemoveFiles("d", "a")) == "a:chores"
    long = {tasks.copies_queue("p" * 60 + each, "q" * 60) for each in "xyz"}
    assert len(long) == 3
    assert {len(name) for name in long} == {tasks.QUEUE_NAME_BYTES_MAX}
