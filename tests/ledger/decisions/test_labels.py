"""Labels of a job: set and removed at any time, even after the job has ended."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.commands.housekeeping import DiscardJobs
from ledger.domain.commands.jobs import CancelJob, CreateJob, LabelJob
from ledger.domain.context import Fact
from ledger.domain.errors import Refusal
from ledger.domain.errors.jobs import (
    BadLabel,
    JobDiscarded,
    JobNotFound,
    LabelsFixed,
    TooManyLabels,
)
from ledger.domain.event_rules import violation
from ledger.domain.events import Recorded
from ledger.domain.events.housekeeping import DiscardedTree
from ledger.domain.events.jobs import ChildAttached, JobEvent, JobLabelled, ProgressUpdated
from ledger.domain.labels import CHANGES_MOST, LABELS_MOST
from ledger.domain.producers.commands import RegisterJob
from tests.support.deciding import given
from tests.support.producing import HERE, registered
from tests.support.world import ME, SOMEBODY_ELSE, START

RUNS = (CreateJob(ME, "j", "x"),)
OVER = (*RUNS, CancelJob(ME, "j"))
LABELLED = (*OVER, LabelJob(ME, "j", {"env": "prod", "team": "a"}))
MANY = {f"key-{nth}": "" for nth in range(LABELS_MOST)}


@pytest.mark.parametrize("history", [RUNS, OVER], ids=["runs", "over"])
def test_labels_are_set_whether_or_not_the_job_has_ended(history: tuple[object, ...]) -> None:
    given(history).when(LabelJob(ME, "j", {"env": "prod"})).then(
        Fact("job-j", JobLabelled({"env": "prod"}))
    )


def test_only_what_changes_is_recorded() -> None:
    """Nothing, if all is so already."""
    given(LABELLED).when(
        LabelJob(ME, "j", {"env": "prod", "team": "b", "new": ""}, ("none",))
    ).then(Fact("job-j", JobLabelled({"team": "b", "new": ""})))
    given(LABELLED).when(LabelJob(ME, "j", {"new": ""}, ("env", "none", "env"))).then(
        Fact("job-j", JobLabelled({"new": ""}, ("env",)))
    )
    given(LABELLED).when(LabelJob(ME, "j", {"env": "prod"}, ("none",))).then()


def test_a_label_changes_neither_the_end_nor_the_state() -> None:
    """Only when the job was last modified."""
    world = given(OVER).world
    before = world.job("j")
    assert before is not None
    later = before.last_modified + timedelta(days=9)
    world.stage("job-j", Recorded(later, ME, "", JobLabelled({"env": "prod"})))
    after = world.job("j")
    assert isinstance(after, Job)
    assert (after.ended, after.state) == (before.ended, before.state)
    assert before.ended == before.last_modified
    assert after.last_modified == later
    assert after.labels == {"env": "prod"}


@pytest.mark.parametrize(
    "key",
    ["a", "A9", "a.b_c-d", "n" * 63, "example.test/team", "a/b", f"{'p' * 63}.{'q' * 63}/x"],
)
def test_keys_are_those_of_kubernetes(key: str) -> None:
    assert given(RUNS).when(LabelJob(ME, "j", {key: "x"})).refusal is None


@pytest.mark.parametrize(
    "key",
    [
        *("", "-a", "a-", ".a", "a b", "a=b", "a\n", "ä", "n" * 64, "a\0"),
        *("/a", "a/", "a/b/c", "Example.test/a", "-x.test/a", "x..test/a", f"{'p' * 64}/x"),
        ".".join(["p" * 60] * 5) + "/x",
    ],
)
def test_there_are_no_other_keys(key: str) -> None:
    """Neither to set nor to remove."""
    job = given(RUNS)
    job.when(LabelJob(ME, "j", {key: "x"})).then_refused(BadLabel, "no key", point="labels")
    job.when(LabelJob(ME, "j", {}, (key,))).then_refused(BadLabel, "no key", point="labels")


@pytest.mark.parametrize("value", ["", "x", "2026-11-29T01:00:02+00:00", "a/b_c@d.e", "v" * 63])
def test_values_need_no_quotes(value: str) -> None:
    assert given(RUNS).when(LabelJob(ME, "j", {"key": value})).refusal is None


@pytest.mark.parametrize("value", ["v" * 64, "a b", "a,b", "a=b", "(a)", "'", "ä", "a\n", "\0"])
def test_there_are_no_other_values(value: str) -> None:
    given(RUNS).when(LabelJob(ME, "j", {"key": value})).then_refused(BadLabel, point="labels")


def test_a_label_is_not_set_and_removed_at_once() -> None:
    given(LABELLED).when(LabelJob(ME, "j", {"env": "x"}, ("env",))).then_refused(
        BadLabel, "label env is to be set and removed", point="labels"
    )


def test_a_job_has_few_labels() -> None:
    """One may go while another comes."""
    full = given(RUNS, LabelJob(ME, "j", MANY))
    full.when(LabelJob(ME, "j", {"more": ""})).then_refused(TooManyLabels, "32", point="labels")
    assert full.when(LabelJob(ME, "j", {"more": ""}, ("key-0",))).refusal is None
    more = tuple(f"key-{nth}" for nth in range(LABELS_MOST + 1))
    full.when(LabelJob(ME, "j", {}, more)).then_refused(TooManyLabels, "32", point="labels")


def test_labels_do_not_change_for_ever() -> None:
    """A history stays short. What would change nothing is no change."""
    changes = [LabelJob(ME, "j", {"n": str(nth)}) for nth in range(CHANGES_MOST)]
    fixed = given(OVER, changes)
    fixed.when(LabelJob(ME, "j", {"n": "another"})).then_refused(LabelsFixed, "200 times")
    fixed.when(changes[-1]).then()


@pytest.mark.parametrize("owner", [ME, SOMEBODY_ELSE])
def test_only_the_owner_labels_a_job(owner: str) -> None:
    job = "none" if owner == ME else "j"
    given(OVER).when(LabelJob(owner, job, {"env": "x"})).then_refused(JobNotFound)


def test_a_discarded_job_has_no_labels_any_more() -> None:
    """Though its events may still be there."""
    keep = timedelta(days=3)
    tree = DiscardedTree(ME, ("j",), START - keep - keep)
    discard = DiscardJobs("1", keep, START - keep, 7, (tree,), (), (), guards=(0,), keep_last=20)
    given(OVER, discard).when(LabelJob(ME, "j", {"env": "x"})).then_refused(JobDiscarded)


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        (JobLabelled({"env": "test"}, ("team",)), None),
        (JobLabelled(), "no label was changed"),
        (JobLabelled({}, ("none",)), "removed that was not there"),
        (JobLabelled({"a b": ""}), "no key"),
        (JobLabelled({"a": "b c"}), "no value"),
        (JobLabelled({"env": ""}, ("env",)), "at once"),
        (JobLabelled(MANY), "the job had 34 labels"),
        (ChildAttached("k"), "the job had ended"),
        (ProgressUpdated(1, 1, 1, 1, 1), "the job had ended"),
    ],
)
def test_an_auditor_knows_what_may_follow_an_end(event: JobEvent, wrong: str | None) -> None:
    """Labels, as they may be, and nothing else."""
    found = violation(given(LABELLED).world.job("j"), "job-j", event)
    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_an_auditor_counts_changes() -> None:
    changes = [LabelJob(ME, "j", {"n": str(nth)}) for nth in range(CHANGES_MOST)]
    found = violation(given(RUNS, changes).world.job("j"), "job-j", JobLabelled({"n": "x"}))
    assert found == "the labels had been changed 200 times"


def with_labels(labels: dict[str, str]) -> RegisterJob:
    return RegisterJob(ME, "p", "backup", replace(registered(), labels=labels), holder=HERE)


def test_a_job_can_be_registered_with_labels() -> None:
    """Which its owner may change like any others."""
    history = given(with_labels({"env": "prod", "team": "a"}))
    history.when(LabelJob(ME, "p", {"env": "prod"}, ("team",))).then(
        Fact("job-p", JobLabelled({}, ("team",)))
    )


@pytest.mark.parametrize(
    ("labels", "refusal"),
    [
        ({"a b": ""}, BadLabel),
        ({"a": "b c"}, BadLabel),
        (MANY | {"more": ""}, TooManyLabels),
    ],
)
def test_a_job_is_not_registered_with_others(
    labels: dict[str, str], refusal: type[Refusal]
) -> None:
    """An auditor would see them."""
    command = with_labels(labels)
    given().when(command).then_refused(refusal, point="labels")
    created = given(CreateJob(ME, "p", "backup")).world.job("p")
    assert violation(created, "job-p", command.registered) is not None
    assert violation(created, "job-p", with_labels(MANY).registered) is None
