"""Reports of workers: attempts, progress, and the end of a job."""

from typing import get_args

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands.drives import CloneDrive
from ledger.domain.commands.jobs import (
    CancelJob,
    CreateJob,
    FailJob,
    LoseAttempt,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.domain.commands.servers import CloneServer
from ledger.domain.context import Fact
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.jobs import (
    JobHasChildren,
    JobNotFound,
    JobOver,
    ProgressWentBack,
    StaleAttempt,
)
from ledger.domain.events.drives import DriveDeleted, DriveReady
from ledger.domain.events.jobs import (
    Fingerprint,
    JobAttemptLost,
    JobAttemptStarted,
    JobCreated,
    JobFailed,
    JobSucceeded,
    ProgressUpdated,
    Resource,
)
from ledger.domain.events.servers import ServerChanged
from tests.support.deciding import Given, History, given
from tests.support.world import ME, Foreseen, mount, ready_drive, server_created

Report = LoseAttempt | UpdateProgress | SucceedJob | FailJob

JOB = CreateJob(ME, "j", "drive_clone")
TAKEN_UP = (JOB, StartAttempt("j", 1, "w"))


def reports(job: str, attempt: int) -> list[Report]:
    return [
        LoseAttempt(job, attempt),
        UpdateProgress(job, attempt, 50),
        SucceedJob(job, attempt),
        FailJob(job, attempt, "no"),
    ]


def test_a_job_is_made() -> None:
    """A job of any operation: it is its own root."""
    given().when(CreateJob(ME, "j", "drive_resize")).then(
        Fact("job-j", JobCreated("drive_resize", ME, (), "j"))
    )


def test_a_job_is_made_for_drives_and_servers() -> None:
    """What it names is busy from then on."""
    named = (Resource("drives", "a", "source"), Resource("servers", "s", "source"))
    world = given(ready_drive("a"), server_created("s"))
    world.when(CreateJob(ME, "j", "backup", named)).then(
        Fact("job-j", JobCreated("backup", ME, named, "j"))
    )


def test_a_job_cannot_be_made_twice() -> None:
    """A uuid that is taken is refused."""
    given(JOB).when(JOB).then_refused(AlreadyExists, "job j")


def test_a_worker_starts_an_attempt() -> None:
    """The first attempt is number one, and records what the source looked like."""
    fingerprint = Fingerprint(1, 2, 3)
    given(JOB).when(StartAttempt("j", 1, "w", fingerprint)).then(
        Fact("job-j", JobAttemptStarted(1, "w", fingerprint))
    )


def test_a_later_attempt_resumes_where_the_last_one_was() -> None:
    """Progress, offset and the first fingerprint stay."""
    job = given(
        JOB,
        StartAttempt("j", 1, "w", Fingerprint(1, 2, 3)),
        UpdateProgress("j", 1, 40, 4, 10, 7),
        StartAttempt("j", 2, "v"),
    ).world.job("j")
    assert isinstance(job, Job)
    assert (
        job.attempt,
        job.progress,
        job.bytes_done,
        job.bytes_total,
        job.offset,
    ) == (2, 40, 4, 10, 7)
    assert Fingerprint(1, 2, 3) == job.fingerprint


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_only_the_next_attempt_can_begin(attempt: int) -> None:
    """Two workers that take the same job up at once cannot both have it."""
    given(TAKEN_UP).when(StartAttempt("j", attempt, "v")).then_refused(StaleAttempt, "at attempt 1")


def test_progress_is_recorded() -> None:
    """Percent, bytes and the offset from which a later attempt may go on."""
    given(TAKEN_UP).when(UpdateProgress("j", 1, 7, 70, 1000, 90)).then(
        Fact("job-j", ProgressUpdated(1, 7, 70, 1000, 90))
    )


@pytest.mark.parametrize("progress", [40, 41, 100])
def test_progress_may_stand_still_or_grow(progress: int) -> None:
    """Up to a hundred per cent."""
    given(TAKEN_UP, UpdateProgress("j", 1, 40)).when(UpdateProgress("j", 1, progress)).then(
        Fact("job-j", ProgressUpdated(1, progress, 0, 0, 0))
    )


@pytest.mark.parametrize("progress", [-1, 0, 39, 101])
def test_progress_neither_falls_nor_exceeds_the_total(progress: int) -> None:
    """A report below what is recorded, or above a hundred, is refused."""
    given(TAKEN_UP, UpdateProgress("j", 1, 40)).when(UpdateProgress("j", 1, progress)).then_refused(
        ProgressWentBack, "at 40 %"
    )


def test_progress_does_not_fall_with_a_new_attempt() -> None:
    """Starting again does not reset it."""
    given(TAKEN_UP, UpdateProgress("j", 1, 40), StartAttempt("j", 2, "w")).when(
        UpdateProgress("j", 2, 39)
    ).then_refused(ProgressWentBack)


def job_after(*history: History) -> Job:
    job = given(*history).world.job("j")
    assert isinstance(job, Job)
    return job


def cloning(data: int | None) -> Given:
    """A clone of a drive with so much data, which a worker has taken up."""
    environment = Foreseen()
    environment.data = {} if data is None else {"source": data}
    clone = CloneDrive(ME, "source", "copy", "j")
    history = (ready_drive("source"), clone, StartAttempt("j", 1, "w"))
    return given(history, environment=environment)


def test_the_total_is_stated_when_the_job_is_made() -> None:
    """It is how much data the source has, and no report changes it."""
    job = cloning(1000).when(UpdateProgress("j", 1, 40, 400, 900, 400)).world.job("j")
    assert job is not None
    assert (job.weight, job.bytes_total, job.bytes_done) == (1000, 1000, 400)


def test_a_total_that_was_not_stated_comes_from_the_first_report() -> None:
    """And no later report changes it; the job's part in its parent's progress stays unknown."""
    outcome = cloning(None).when(UpdateProgress("j", 1, 40, 400, 900, 400))
    assert (job := outcome.world.job("j")) is not None
    assert (job.weight, job.bytes_total) == (None, 900)
    later = job_after(
        TAKEN_UP, UpdateProgress("j", 1, 1, 1, 900, 1), UpdateProgress("j", 1, 2, 2, 800, 2)
    )
    assert later.bytes_total == 900


def test_each_disk_of_a_server_states_its_total() -> None:
    environment = Foreseen()
    environment.data = {"a": 10, "b": 0}
    mounted = server_created("s", mount("a"), mount("b", 1))
    disks = given(ready_drive("a"), ready_drive("b"), mounted, environment=environment)
    outcome = disks.when(CloneServer(ME, "s", "copy", "j"))
    created = [c.event for c in outcome.changes if isinstance(c, Fact)]
    totals = [event.bytes_total for event in created if isinstance(event, JobCreated)]
    assert totals == [None, 10, 0]


def test_an_attempt_is_measured_from_where_it_began() -> None:
    """What was done before it says nothing of its speed, unless it starts over."""
    before = (TAKEN_UP, UpdateProgress("j", 1, 40, 400, 1000, 400), StartAttempt("j", 2, "v"))
    resumed = job_after(before, UpdateProgress("j", 2, 50, 500, 1000, 500)).current
    over = job_after(before, UpdateProgress("j", 2, 40, 0, 1000, 0)).current
    assert resumed is not None
    assert over is not None
    assert (resumed.bytes_before, over.bytes_before) == (400, 0)
    assert resumed.began < resumed.reported


def test_a_verification_begins_once_all_is_copied() -> None:
    """The moment stays, and a new attempt verifies anew."""
    copied = (TAKEN_UP, UpdateProgress("j", 1, 49, 990, 1000, 990, 0))
    assert (current := job_after(copied).current) is not None
    assert current.copied is None
    done = (copied, UpdateProgress("j", 1, 50, 1000, 1000, 1000, 0))
    began = job_after(done).last_modified
    verifying = job_after(done, UpdateProgress("j", 1, 75, 1000, 1000, 1000, 500))
    assert (current := verifying.current) is not None
    assert (current.copied, verifying.bytes_verified) == (began, 500)
    again = job_after(done, StartAttempt("j", 2, "v"))
    assert (current := again.current) is not None
    assert (current.copied, again.bytes_verified) == (None, None)


def test_a_job_that_succeeds_has_done_all() -> None:
    """Even if it ended before it could report anything: a parent's bytes never fall."""
    outcome = cloning(1000).when(SucceedJob("j", 1))
    assert (job := outcome.world.job("j")) is not None
    assert job.bytes_done == 1000


LOST = (TAKEN_UP, LoseAttempt("j", 1))


def is_lost(*commands: History) -> bool:
    job = given(*commands).world.job("j")
    assert isinstance(job, Job)
    return job.lost


def test_an_attempt_is_reported_lost_once() -> None:
    """The job runs on, as far as it was; the second who sees it says nothing more."""
    given(TAKEN_UP).when(LoseAttempt("j", 1)).then(Fact("job-j", JobAttemptLost(1)))
    given(LOST).when(LoseAttempt("j", 1)).then()
    assert is_lost(LOST)


@pytest.mark.parametrize(
    "after",
    [
        StartAttempt("j", 2, "v"),
        UpdateProgress("j", 1, 1),
        SucceedJob("j", 1),
        FailJob("j", 1, "no"),
        CancelJob(ME, "j"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_job_no_longer_shows_a_lost_worker(after: History) -> None:
    """Once another took it up, its own is heard of after all, or it has ended."""
    assert not is_lost(LOST, after)


@pytest.mark.parametrize("report", reports("j", 1), ids=lambda report: type(report).__name__)
def test_reports_of_a_replaced_attempt_are_refused(report: Report) -> None:
    """A worker that was thought dead cannot write history any more."""
    given(TAKEN_UP, StartAttempt("j", 2, "v")).when(report).then_refused(
        StaleAttempt, "at attempt 2, not 1"
    )


@pytest.mark.parametrize("report", reports("j", 2), ids=lambda report: type(report).__name__)
def test_reports_of_an_attempt_that_never_began_are_refused(report: Report) -> None:
    """A report belongs to the attempt that is under way."""
    given(TAKEN_UP).when(report).then_refused(StaleAttempt)


@pytest.mark.parametrize("report", reports("j", 0), ids=lambda report: type(report).__name__)
def test_reports_on_a_job_without_an_attempt_are_refused(report: Report) -> None:
    """Attempt zero is none."""
    given(JOB).when(report).then_refused(StaleAttempt)


@pytest.mark.parametrize(
    "command",
    [StartAttempt("j", 2, "w"), *reports("j", 1), CreateJob(ME, "k", "x", parent="j")],
    ids=lambda command: type(command).__name__,
)
@pytest.mark.parametrize(
    "end", [SucceedJob("j", 1), FailJob("j", 1, "no")], ids=["success", "failed"]
)
def test_an_ended_job_never_changes(end: Report, command: Report) -> None:
    """Nothing is reported of it, nobody takes it up, and it gets no sub-jobs."""
    given(TAKEN_UP, end).when(command).then_refused(JobOver, "job j has ended")


@pytest.mark.parametrize(
    "command",
    [StartAttempt("j", 1, "w"), *reports("j", 1), CreateJob(ME, "k", "x", parent="j")],
    ids=lambda command: type(command).__name__,
)
def test_an_unknown_job_is_not_found(command: Report) -> None:
    """There is nothing to report on."""
    given().when(command).then_refused(JobNotFound, "j")


def test_a_job_succeeds() -> None:
    """Its progress is a hundred then, whatever was reported last."""
    world = given(TAKEN_UP, UpdateProgress("j", 1, 40, 4, 10, 4))
    world.when(SucceedJob("j", 1)).then(Fact("job-j", JobSucceeded()))
    job = given(TAKEN_UP, UpdateProgress("j", 1, 40, 4, 10, 4), SucceedJob("j", 1)).world.job("j")
    assert isinstance(job, Job)
    assert (job.state, job.progress, job.bytes_done, job.error) == ("success", 100, 10, None)


def test_a_job_fails() -> None:
    """It keeps the progress that it had, and says why."""
    world = given(TAKEN_UP, UpdateProgress("j", 1, 40, 4, 10, 4))
    world.when(FailJob("j", 1, "disk on fire")).then(Fact("job-j", JobFailed("disk on fire")))
    job = given(TAKEN_UP, UpdateProgress("j", 1, 40), FailJob("j", 1, "on fire")).world.job("j")
    assert isinstance(job, Job)
    assert (job.state, job.progress, job.error) == ("failed", 40, "on fire")


COPYING = (ready_drive("source"), CloneDrive(ME, "source", "copy", "j"), StartAttempt("j", 1, "w"))


def test_a_finished_clone_makes_its_drive_ready() -> None:
    """In the transaction that also frees the source."""
    world = given(COPYING)
    assert world.world.relations("source").running_jobs == 1
    outcome = world.when(SucceedJob("j", 1))
    outcome.then(Fact("job-j", JobSucceeded()), Fact("drive-copy", DriveReady()))
    assert outcome.world.relations("source").running_jobs == 0


def test_a_failed_clone_removes_its_drive() -> None:
    """The incomplete copy is removed, and the source is free."""
    outcome = given(COPYING).when(FailJob("j", 1, "on fire"))
    outcome.then(Fact("job-j", JobFailed("on fire")), Fact("drive-copy", DriveDeleted()))
    assert outcome.world.relations("source").running_jobs == 0
    assert outcome.world.drive("copy") is None


def test_the_drive_of_a_failed_clone_is_detached_first() -> None:
    """It may have been attached while it was being copied."""
    given(COPYING, server_created("s", mount("copy"))).when(FailJob("j", 1, "on fire")).then(
        Fact("job-j", JobFailed("on fire")),
        Fact("server-s", ServerChanged(())),
        Fact("drive-copy", DriveDeleted()),
    )


@pytest.mark.parametrize(
    "command",
    [StartAttempt("j", 1, "w"), *reports("j", 0)],
    ids=lambda command: type(command).__name__,
)
def test_a_job_with_sub_jobs_is_done_by_them(command: Report) -> None:
    """No worker takes it up or reports on it."""
    given(
        ready_drive("a"), server_created("s", mount("a")), CloneServer(ME, "s", "copy", "j")
    ).when(command).then_refused(JobHasChildren, "j")


def test_every_report_is_tested_here() -> None:
    """A new kind of report must be given to these tests too."""
    assert set(get_args(Report)) == {type(report) for report in reports("j", 1)}
