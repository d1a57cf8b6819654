"""Trees of jobs: attaching children, and how their ends reach the parents."""

import pytest

from ledger.domain.aggregates.children import Child
from ledger.domain.aggregates.job import Job
from ledger.domain.commands.drives import CloneDrive, DeleteDrives
from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob
from ledger.domain.context import DropVncPassword, Fact
from ledger.domain.decisions.jobs import DEPTH_LIMIT
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.jobs import JobHasWorker, JobNotFound, TooDeep
from ledger.domain.errors.servers import ServerNotFound
from ledger.domain.events.drives import DriveDeleted, DriveReady
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobCreated,
    JobFailed,
    JobSucceeded,
    Resource,
)
from ledger.domain.events.servers import ServerDeleted
from tests.support.deciding import History, given
from tests.support.world import ME, SOMEBODY_ELSE, drive_created, ready_drive, server_created


def job(uuid: str, parent: str | None = None, *resources: Resource) -> CreateJob:
    return CreateJob(ME, uuid, "x", resources, parent)


def test_a_sub_job_knows_its_parent_root_and_place() -> None:
    """And its parent knows of it, in the same transaction."""
    given(job("a"), job("b", "a")).when(job("c", "b")).then(
        Fact("job-c", JobCreated("x", ME, (), "a", "b", 0)), Fact("job-b", ChildAttached("c"))
    )


def test_sub_jobs_are_numbered_in_the_order_in_which_they_come() -> None:
    """The second is number one."""
    given(job("a"), job("b", "a")).when(job("c", "a")).then(
        Fact("job-c", JobCreated("x", ME, (), "a", "a", 1)), Fact("job-a", ChildAttached("c"))
    )


def test_a_job_that_a_worker_does_gets_no_sub_jobs() -> None:
    """It would have two ways to end."""
    given(job("a"), StartAttempt("a", 1, "w")).when(job("b", "a")).then_refused(JobHasWorker)


def test_a_sub_job_needs_a_uuid_of_its_own() -> None:
    """Not even its parent's."""
    given(job("a")).when(job("a", "a")).then_refused(AlreadyExists)


def test_a_sub_job_belongs_to_its_parents_owner() -> None:
    """The job of another account is not found."""
    given(job("a")).when(CreateJob(SOMEBODY_ELSE, "b", "x", parent="a")).then_refused(
        JobNotFound, "a"
    )


FOUR_DEEP: list[History] = [
    job("a"),
    job("b", "a"),
    job("c", "b"),
    job("d", "c"),
    job("e", "c"),
    StartAttempt("d", 1, "w"),
    StartAttempt("e", 1, "w"),
]


def test_a_success_four_deep_stops_where_a_sibling_still_runs() -> None:
    """Only the parent hears of it."""
    given(FOUR_DEEP).when(SucceedJob("d", 1)).then(
        Fact("job-d", JobSucceeded()), Fact("job-c", ChildEnded("d", "success"))
    )


def test_the_last_success_four_deep_settles_every_job_above() -> None:
    """Upwards, one level after the other, in one transaction."""
    outcome = given(FOUR_DEEP, SucceedJob("e", 1)).when(SucceedJob("d", 1))
    outcome.then(
        Fact("job-d", JobSucceeded()),
        Fact("job-c", ChildEnded("d", "success")),
        Fact("job-c", JobSucceeded()),
        Fact("job-b", ChildEnded("c", "success")),
        Fact("job-b", JobSucceeded()),
        Fact("job-a", ChildEnded("b", "success")),
        Fact("job-a", JobSucceeded()),
    )
    root = outcome.world.job("a")
    assert isinstance(root, Job)
    assert (root.state, root.progress) == ("success", 100)
    assert [*root.children] == [Child("b", 0, "success")]


@pytest.mark.parametrize("last", [SucceedJob("d", 1), FailJob("d", 1, "too")], ids=["ok", "failed"])
def test_a_failure_four_deep_fails_every_job_above_once_all_have_ended(last: SucceedJob) -> None:
    """Each says which of its sub-jobs was the first that failed."""
    outcome = given(FOUR_DEEP, FailJob("e", 1, "on fire")).when(last)
    failed_first = "e" if isinstance(last, SucceedJob) else "d"
    assert [
        Fact("job-c", JobFailed(f"sub-job {failed_first} failed")),
        Fact("job-b", ChildEnded("c", "failed")),
        Fact("job-b", JobFailed("sub-job c failed")),
        Fact("job-a", ChildEnded("b", "failed")),
        Fact("job-a", JobFailed("sub-job b failed")),
    ] == outcome.changes[2:]


def test_a_branch_that_runs_keeps_the_root_running() -> None:
    """A settled sub-tree does not settle a root that has another one."""
    given(job("a"), job("b", "a"), job("c", "b"), job("d", "a"), StartAttempt("c", 1, "w")).when(
        SucceedJob("c", 1)
    ).then(
        Fact("job-c", JobSucceeded()),
        Fact("job-b", ChildEnded("c", "success")),
        Fact("job-b", JobSucceeded()),
        Fact("job-a", ChildEnded("b", "success")),
    )


def made_by(uuid: str, parent: str | None, *made: Resource, nth: int = 0) -> list[Fact]:
    """A job in the tree of `a` that makes a drive or server, as clone commands bring it about."""
    created = JobCreated("x", ME, made, "a", parent, nth)
    attached = [] if parent is None else [Fact(f"job-{parent}", ChildAttached(uuid))]
    return [Fact(f"job-{uuid}", created), *attached]


MADE = Resource("drives", "made", "destination")
HOST = Resource("servers", "host", "destination")


def test_a_failed_root_removes_what_its_whole_tree_made() -> None:
    """Drives and servers that deep sub-jobs had made are removed with the root's failure."""
    outcome = given(
        drive_created("made", origin="clone"),
        server_created("host"),
        made_by("a", None, HOST),
        made_by("b", "a"),
        made_by("c", "b", MADE),
        made_by("d", "a", nth=1),
        StartAttempt("c", 1, "w"),
        StartAttempt("d", 1, "w"),
        SucceedJob("c", 1),
    ).when(FailJob("d", 1, "on fire"))
    outcome.then(
        Fact("job-d", JobFailed("on fire")),
        Fact("job-a", ChildEnded("d", "failed")),
        Fact("job-a", JobFailed("sub-job d failed")),
        Fact("server-host", ServerDeleted()),
        DropVncPassword("host"),
        Fact("drive-made", DriveDeleted()),
    )


def test_a_finished_sub_job_leaves_its_drive_ready() -> None:
    """A drive is of use before the whole tree has ended."""
    given(
        drive_created("made", origin="clone"),
        made_by("a", None),
        made_by("b", "a", MADE),
        made_by("c", "a", nth=1),
        StartAttempt("b", 1, "w"),
    ).when(SucceedJob("b", 1)).then(
        Fact("job-b", JobSucceeded()),
        Fact("drive-made", DriveReady()),
        Fact("job-a", ChildEnded("b", "success")),
    )


def test_a_tree_has_a_limited_depth() -> None:
    """The deepest level is allowed, one below it is not; siblings do not count."""
    chain = [job("level-1"), *(job(f"level-{n}", f"level-{n - 1}") for n in range(2, DEPTH_LIMIT))]
    world = given(*chain, job("sibling", "level-1"))
    deepest, parent = f"level-{DEPTH_LIMIT}", f"level-{DEPTH_LIMIT - 1}"
    assert world.when(job(deepest, parent)).refusal is None
    given(*chain, job(deepest, parent)).when(job("below", deepest)).then_refused(
        TooDeep, f"{DEPTH_LIMIT} levels"
    )


# What a job may name


@pytest.mark.parametrize("role", ["source", "destination"])
@pytest.mark.parametrize("uuid", ["nothing", "theirs", "gone"])
def test_a_job_names_drives_of_its_owner_only(uuid: str, role: str) -> None:
    """Otherwise it could make another account's drive busy, or delete it by failing."""
    given(
        ready_drive("theirs", owner=SOMEBODY_ELSE), ready_drive("gone"), DeleteDrives(ME, ("gone",))
    ).when(job("a", None, Resource("drives", uuid, role))).then_refused(DriveNotFound, uuid)


@pytest.mark.parametrize("role", ["source", "destination"])
@pytest.mark.parametrize("uuid", ["nothing", "theirs"])
def test_a_job_names_servers_of_its_owner_only(uuid: str, role: str) -> None:
    """Servers likewise."""
    given(server_created("theirs", owner=SOMEBODY_ELSE)).when(
        job("a", None, Resource("servers", uuid, role))
    ).then_refused(ServerNotFound, uuid)


def test_what_a_job_names_is_guarded() -> None:
    """A deletion by another process at the same moment must conflict."""
    world = given(ready_drive("d"), server_created("s"))
    named = (Resource("drives", "d", "source"), Resource("servers", "s", "source"))
    outcome = world.when(job("a", None, *named))
    assert {"d", "s"} == outcome.world.guarded


@pytest.mark.parametrize(
    "made", [MADE, HOST, Resource("drives", "busy", "destination")], ids=lambda made: made.uuid
)
def test_a_job_cannot_be_said_to_make_what_exists(made: Resource) -> None:
    """Otherwise a drive could become ready twice, or be removed when an unrelated job fails."""
    given(
        ready_drive("made"),
        server_created("host"),
        CloneDrive(ME, "made", "busy", "k"),
    ).when(job("a", None, made)).then_refused(AlreadyExists, made.uuid)
