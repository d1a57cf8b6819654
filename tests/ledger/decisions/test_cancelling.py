"""Cancelling jobs: the job and all below it end, and what they made is removed."""

import pytest

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.relations import Relations
from ledger.domain.commands.drives import CloneDrive, DeleteDrives, ResizeDrive
from ledger.domain.commands.jobs import (
    CancelJob,
    CreateJob,
    FailJob,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.domain.commands.servers import ChangePower, CloneServer, EditServer, ServerEdit
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.domain.context import DropVncPassword, Fact
from ledger.domain.errors.drives import DriveBusy
from ledger.domain.errors.jobs import JobNotFound, JobOver
from ledger.domain.events.drives import DriveDeleted, DriveReady, DriveResizeStarted
from ledger.domain.events.jobs import ChildEnded, JobCancelled, JobSucceeded
from ledger.domain.events.servers import ServerChanged, ServerDeleted
from ledger.domain.events.tags import ResourceUntagged
from tests.support.deciding import History, Outcome, given
from tests.support.world import (
    GIB,
    ME,
    SOMEBODY_ELSE,
    mount,
    ready_drive,
    server_created,
)

CLONING = (ready_drive("a"), CloneDrive(ME, "a", "copy", "j"))
TAKEN_UP = (CLONING, StartAttempt("j", 1, "w"), UpdateProgress("j", 1, 40))


CLONING_A_SERVER = (
    ready_drive("a"),
    ready_drive("b"),
    server_created("s", mount("a"), mount("b", 1)),
    CloneServer(ME, "s", "copy", "j"),
)
"""Drives new-1 and new-3 are copied by jobs new-2 and new-4, below job j."""


def job_after(outcome: Outcome, uuid: str) -> Job:
    job = outcome.world.job(uuid)
    assert isinstance(job, Job)
    return job


# One job


@pytest.mark.parametrize("history", [CLONING, TAKEN_UP], ids=["queued", "taken up"])
def test_a_cancelled_clone_is_gone_and_its_source_is_free(history: History) -> None:
    """The new drive is deleted, and nothing needs the source any more."""
    outcome = given(history).when(CancelJob(ME, "j"))
    outcome.then(Fact("job-j", JobCancelled()), Fact("drive-copy", DriveDeleted()))
    assert outcome.world.drive("copy") is None
    assert outcome.world.relations("a") == Relations()
    given(history, CancelJob(ME, "j")).when(DeleteDrives(ME, ("a",))).then(
        Fact("drive-a", DriveDeleted())
    )


def test_a_cancelled_job_keeps_the_progress_it_had() -> None:
    """It shows how far the work was, and no error."""
    job = job_after(given(TAKEN_UP).when(CancelJob(ME, "j")), "j")
    assert (job.state, job.progress, job.error) == ("cancelled", 40, None)


def test_a_cancelled_clone_is_detached_and_loses_its_tags() -> None:
    """Whatever was said of the new drive meanwhile is taken back."""
    given(
        CLONING,
        server_created("s", mount("copy")),
        CreateTags(ME, (NewTag("t", "fleet", resources=("copy",)),)),
    ).when(CancelJob(ME, "j")).then(
        Fact("job-j", JobCancelled()),
        Fact("server-s", ServerChanged(mounts=())),
        Fact("tag-t", ResourceUntagged("copy")),
        Fact("drive-copy", DriveDeleted()),
    )


def test_a_cancelled_job_that_makes_nothing_just_ends() -> None:
    """Any operation can be cancelled, though nobody has tried it."""
    given(CreateJob(ME, "j", "x")).when(CancelJob(ME, "j")).then(Fact("job-j", JobCancelled()))


@pytest.mark.parametrize(
    "end", [SucceedJob("j", 1), FailJob("j", 1, "no"), CancelJob(ME, "j")], ids=repr
)
def test_an_ended_job_cannot_be_cancelled(end: History) -> None:
    """Its history is closed, and what it made is safe."""
    given(TAKEN_UP, end).when(CancelJob(ME, "j")).then_refused(JobOver, "j")


@pytest.mark.parametrize("uuid", ["nothing", "theirs"])
def test_only_own_jobs_can_be_cancelled(uuid: str) -> None:
    """The job of another account is not found."""
    given(CreateJob(SOMEBODY_ELSE, "theirs", "x")).when(CancelJob(ME, uuid)).then_refused(
        JobNotFound, uuid
    )


@pytest.mark.parametrize(
    "report",
    [
        StartAttempt("j", 2, "w"),
        UpdateProgress("j", 1, 50),
        SucceedJob("j", 1),
        FailJob("j", 1, "no"),
    ],
    ids=repr,
)
def test_reports_of_a_cancelled_job_are_refused(report: SucceedJob) -> None:
    """Its worker hears of it by its next report, if not sooner."""
    given(TAKEN_UP, CancelJob(ME, "j")).when(report).then_refused(JobOver, "cancelled")


def test_cancelling_one_of_two_clones_of_a_drive_leaves_the_other() -> None:
    """The source stays busy as long as one job needs it."""
    world = given(CLONING, CloneDrive(ME, "a", "copy2", "j2"), CancelJob(ME, "j"))
    world.when(DeleteDrives(ME, ("a",))).then_refused(DriveBusy, "a")
    world.when(CancelJob(ME, "j2")).then(
        Fact("job-j2", JobCancelled()), Fact("drive-copy2", DriveDeleted())
    )


def test_a_source_can_grow_once_it_is_free_again() -> None:
    """What a running clone forbids, its end allows."""
    given(CLONING, CancelJob(ME, "j")).when(ResizeDrive(ME, "a", 2 * GIB)).then(
        Fact("drive-a", DriveResizeStarted(2 * GIB))
    )


def test_a_clone_of_a_library_drive_can_be_cancelled_by_its_owner() -> None:
    """The copy goes, the library's drive stays."""
    given(ready_drive("l", owner=LIBRARY), CloneDrive(ME, "l", "copy", "j")).when(
        CancelJob(ME, "j")
    ).then(Fact("job-j", JobCancelled()), Fact("drive-copy", DriveDeleted()))


# Families


def test_cancelling_a_server_clone_ends_all_below_it_and_the_last_settles_it() -> None:
    """The drives go one by one, then the server, and its sources are free."""
    outcome = given(CLONING_A_SERVER).when(CancelJob(ME, "j"))
    outcome.then(
        Fact("job-new-2", JobCancelled()),
        Fact("server-copy", ServerChanged(mounts=(mount("new-3", 1),))),
        Fact("drive-new-1", DriveDeleted()),
        Fact("job-j", ChildEnded("new-2", "cancelled")),
        Fact("job-new-4", JobCancelled()),
        Fact("server-copy", ServerChanged(mounts=())),
        Fact("drive-new-3", DriveDeleted()),
        Fact("job-j", ChildEnded("new-4", "cancelled")),
        Fact("job-j", JobCancelled()),
        Fact("server-copy", ServerDeleted()),
        DropVncPassword("copy"),
    )
    assert outcome.world.relations("a") == Relations(servers=frozenset({"s"}))
    assert outcome.world.relations("s") == Relations()


def test_a_cancelled_child_leaves_its_siblings_running() -> None:
    """The parent runs on too, and the server without that disk."""
    outcome = given(CLONING_A_SERVER).when(CancelJob(ME, "new-2"))
    outcome.then(
        Fact("job-new-2", JobCancelled()),
        Fact("server-copy", ServerChanged(mounts=(mount("new-3", 1),))),
        Fact("drive-new-1", DriveDeleted()),
        Fact("job-j", ChildEnded("new-2", "cancelled")),
    )
    assert job_after(outcome, "j").state == job_after(outcome, "new-4").state == "started"


def test_a_parent_is_cancelled_when_the_siblings_of_a_cancelled_child_succeed() -> None:
    """Half a server is of no use: what the others made is removed too."""
    given(CLONING_A_SERVER, CancelJob(ME, "new-2"), StartAttempt("new-4", 1, "w")).when(
        SucceedJob("new-4", 1)
    ).then(
        Fact("job-new-4", JobSucceeded()),
        Fact("drive-new-3", DriveReady()),
        Fact("job-j", ChildEnded("new-4", "success")),
        Fact("job-j", JobCancelled()),
        Fact("server-copy", ServerDeleted()),
        DropVncPassword("copy"),
        Fact("drive-new-3", DriveDeleted()),
    )


FAILED = (StartAttempt("new-2", 1, "w"), FailJob("new-2", 1, "on fire"))


@pytest.mark.parametrize(
    ("before", "last", "failed"),
    [
        (FAILED, CancelJob(ME, "new-4"), "new-2"),
        (FAILED, CancelJob(ME, "j"), "new-2"),
        ((CancelJob(ME, "new-4"), FAILED[0]), FAILED[1], "new-2"),
    ],
    ids=["the other is cancelled", "all is cancelled", "the other was cancelled"],
)
def test_a_failure_beats_a_cancellation(before: History, last: CancelJob, failed: str) -> None:
    """Whichever came first, a parent of a failed child has failed."""
    outcome = given(CLONING_A_SERVER, before).when(last)
    job = job_after(outcome, "j")
    assert ("failed", f"sub-job {failed} failed") == (job.state, job.error)
    assert outcome.world.server("copy") is None
    assert outcome.world.drive("new-1") is outcome.world.drive("new-3") is None


FOUR_DEEP = (
    CreateJob(ME, "a", "x"),
    CreateJob(ME, "b", "x", parent="a"),
    CreateJob(ME, "c", "x", parent="b"),
    CreateJob(ME, "d", "x", parent="c"),
    CreateJob(ME, "e", "x", parent="c"),
    CreateJob(ME, "f", "x", parent="a"),
)


def test_cancelling_the_root_ends_every_level() -> None:
    """From the leaves upwards, each job once."""
    outcome = given(FOUR_DEEP).when(CancelJob(ME, "a"))
    outcome.then(
        Fact("job-d", JobCancelled()),
        Fact("job-c", ChildEnded("d", "cancelled")),
        Fact("job-e", JobCancelled()),
        Fact("job-c", ChildEnded("e", "cancelled")),
        Fact("job-c", JobCancelled()),
        Fact("job-b", ChildEnded("c", "cancelled")),
        Fact("job-b", JobCancelled()),
        Fact("job-a", ChildEnded("b", "cancelled")),
        Fact("job-f", JobCancelled()),
        Fact("job-a", ChildEnded("f", "cancelled")),
        Fact("job-a", JobCancelled()),
    )


def test_cancelling_a_branch_leaves_the_others() -> None:
    """The root learns of the branch's end and runs on with the rest."""
    outcome = given(FOUR_DEEP).when(CancelJob(ME, "c"))
    assert {uuid: job_after(outcome, uuid).state for uuid in "abcdef"} == {
        "a": "started",
        "b": "cancelled",
        "c": "cancelled",
        "d": "cancelled",
        "e": "cancelled",
        "f": "started",
    }


def test_ended_jobs_below_a_cancelled_job_stay_as_they_ended() -> None:
    """Only what runs is ended."""
    outcome = given(FOUR_DEEP, StartAttempt("d", 1, "w"), SucceedJob("d", 1)).when(
        CancelJob(ME, "a")
    )
    assert job_after(outcome, "d").state == "success"
    assert job_after(outcome, "a").state == "cancelled"
    assert outcome.events_of("job-d") == []


def test_an_ended_tree_gets_no_new_sub_jobs() -> None:
    """Nothing begins below what is cancelled."""
    given(FOUR_DEEP, CancelJob(ME, "c")).when(CreateJob(ME, "g", "x", parent="c")).then_refused(
        JobOver, "c"
    )


HALF_CLONED = (
    ready_drive("a"),
    ready_drive("b"),
    server_created("s", mount("a"), mount("b", 1)),
    CloneServer(ME, "s", "copy", "clone"),
    StartAttempt("new-2", 1, "w"),
    SucceedJob("new-2", 1),
    EditServer(ME, "copy", ServerEdit(), mounts=()),
)
"""A clone of two disks, the first of which is there, taken from the new server again."""


def test_a_copied_disk_that_another_server_mounts_stays() -> None:
    """It is complete, and in use; the rest of what the clone made goes."""
    outcome = given(HALF_CLONED, server_created("other", mount("new-1"))).when(
        CancelJob(ME, "clone")
    )
    assert job_after(outcome, "clone").state == "cancelled"
    assert outcome.world.drive("new-1") is not None
    assert outcome.events_of("server-other") == []
    assert outcome.world.server("copy") is outcome.world.drive("new-3") is None


def test_a_cloned_server_that_runs_stays() -> None:
    """Nothing is taken from under a server that runs, not by a job either."""
    outcome = given(HALF_CLONED, ChangePower(ME, "copy", "start")).when(CancelJob(ME, "clone"))
    assert job_after(outcome, "clone").state == "cancelled"
    assert outcome.events_of("server-copy") == []
    assert outcome.world.drive("new-3") is None
