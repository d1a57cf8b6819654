"""A job's state diagram, compared with what decisions and the auditor allow."""

import re
from typing import get_args

import pytest

from ledger.domain.aggregates import job as job_state
from ledger.domain.aggregates.children import Children
from ledger.domain.aggregates.job import Job, JobState
from ledger.domain.commands.jobs import (
    CancelJob,
    CreateJob,
    FailJob,
    LabelJob,
    LoseAttempt,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.domain.event_rules import violation
from ledger.domain.events import Event
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobEvent,
    JobFailed,
    JobLabelled,
    JobSucceeded,
    ProgressUpdated,
)
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobAttemptReturned,
    JobCancelRequested,
    JobCancelSeen,
    JobRegistered,
    JobSealed,
    JobSkipped,
    JobTextsRemoved,
    LateReportRecorded,
    ProgressReported,
)
from ledger.domain.producers.limits import limits
from tests.support.deciding import given
from tests.support.world import ME, START

NEW = CreateJob(ME, "j", "x")
BEGUN = (NEW, StartAttempt("j", 1, "w"))

WAYS_INTO = {
    "started": BEGUN,
    "success": (BEGUN, SucceedJob("j", 1)),
    "failed": (BEGUN, FailJob("j", 1, "no")),
    "cancelled": (BEGUN, CancelJob(ME, "j")),
}
COMMANDS = (
    StartAttempt("j", 2, "w"),
    LoseAttempt("j", 1),
    UpdateProgress("j", 1, 50),
    SucceedJob("j", 1),
    FailJob("j", 1, "no"),
    CreateJob(ME, "k", "x", parent="j"),
    CancelJob(ME, "j"),
    LabelJob(ME, "j", {"env": "prod"}),
)


def drawn() -> set[tuple[str, str]]:
    """The arrows of the diagram."""
    arrows, source = set(), ""
    for line in (job_state.__doc__ or "").splitlines():
        arrow = re.match(r"\s+(?:(\w+)|[├└])\s*─+>\s+(\w+)", line)
        if arrow is not None:
            source = arrow[1] or source
            arrows.add((source, arrow[2]))
    return arrows


def test_the_diagram_names_every_state() -> None:
    """No state is left out, and none is invented."""
    assert set(get_args(JobState)) == {state for arrow in drawn() for state in arrow}
    assert set(WAYS_INTO) == set(get_args(JobState))


def test_the_diagram_matches_what_decisions_allow() -> None:
    """Every command in every state of a job leads along an arrow, and every arrow is led along."""
    seen = set()
    for source, history in WAYS_INTO.items():
        for command in COMMANDS:
            job = given(history).when(command).world.job("j")
            assert isinstance(job, Job)
            if job.state != source:
                seen.add((source, job.state))
    assert drawn() == seen


LEAF_EVENTS: dict[str, JobEvent] = {
    "JobCreated": JobCreated("x", ME, (), "j"),
    "ChildAttached": ChildAttached("new"),
    "JobAttemptStarted": JobAttemptStarted(2, "w"),
    "JobAttemptLost": JobAttemptLost(1),
    "ProgressUpdated": ProgressUpdated(1, 50, 0, 0, 0),
    "ChildEnded": ChildEnded("k", "success"),
    "JobSucceeded": JobSucceeded(),
    "JobFailed": JobFailed("no"),
    "JobCancelled": JobCancelled(),
    "JobRegistered": JobRegistered("//nas", limits(), START),
    "ProgressReported": ProgressReported(1, START),
    "JobAttemptReturned": JobAttemptReturned(1),
    "JobAttemptFailed": JobAttemptFailed(1, START),
    "JobSealed": JobSealed(),
    "JobCancelRequested": JobCancelRequested(60),
    "JobCancelSeen": JobCancelSeen(1),
    "JobSkipped": JobSkipped(START),
    "LateReportRecorded": LateReportRecorded(1, "succeeded", START),
    "JobLabelled": JobLabelled({"env": "prod"}),
    "JobTextsRemoved": JobTextsRemoved(),
}


def test_every_event_of_a_job_is_in_the_table() -> None:
    """A new event must be given to these tests too."""
    assert {event.__name__ for event in get_args(JobEvent)} == set(LEAF_EVENTS)


LEGAL = {
    ("none", "JobCreated"),
    ("new", "ChildAttached"),
    ("new", "JobAttemptStarted"),
    ("new", "JobSucceeded"),  # the clone of a server without disks
    ("new", "JobCancelled"),
    ("new", "JobRegistered"),
    ("begun", "JobAttemptStarted"),
    ("begun", "JobAttemptLost"),
    ("begun", "ProgressUpdated"),
    ("lost", "JobAttemptStarted"),
    ("lost", "ProgressUpdated"),
    ("lost", "JobSucceeded"),
    ("lost", "JobFailed"),
    ("lost", "JobCancelled"),
    ("begun", "JobSucceeded"),
    ("begun", "JobFailed"),
    ("begun", "JobCancelled"),
    ("parent", "ChildAttached"),
    ("parent", "ChildEnded"),
    ("settled", "JobSucceeded"),
    ("failing", "JobFailed"),
    ("being cancelled", "JobCancelled"),
}
PARENT = (NEW, CreateJob(ME, "k", "x", parent="j"))
STATES: dict[str, Job | None] = {"none": None}
for _name, _history in {
    "new": NEW,
    "begun": BEGUN,
    "lost": (BEGUN, LoseAttempt("j", 1)),
    "parent": PARENT,
    "success": WAYS_INTO["success"],
    "failed": WAYS_INTO["failed"],
    "cancelled": WAYS_INTO["cancelled"],
}.items():
    STATES[_name] = given(_history).world.job("j")
_parent = STATES["parent"]
assert _parent is not None
for _name, _ends in {
    "settled": {"k": "success"},
    "failing": {"k": "failed"},
    "being cancelled": {"k": "cancelled", "l": "success"},
}.items():
    _children = Children()
    for _child, _how in _ends.items():
        _children = _children.attach(_child).end(_child, _how)
    STATES[_name] = job_state.replace(_parent, children=_children)


@pytest.mark.parametrize("event", LEAF_EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_the_auditor_allows_what_decisions_record(state: str, event: str) -> None:
    """In each state exactly the events that a decision could have led to are legal."""
    one = LEAF_EVENTS[event]
    if state == "new" and event == "JobAttemptStarted":
        one = JobAttemptStarted(1, "w")
    reason = violation(STATES[state], "job-j", one)
    legal = (state, event) in LEGAL or (event == "JobLabelled" and state != "none")
    assert legal == (reason is None), reason


@pytest.mark.parametrize(
    ("event", "legal"),
    [
        (JobAttemptStarted(1, "w"), False),
        (JobAttemptStarted(3, "w"), False),
        (JobAttemptLost(0), False),
        (JobAttemptLost(2), False),
        (ProgressUpdated(0, 50, 0, 0, 0), False),
        (ProgressUpdated(1, 40, 0, 0, 0), True),
        (ProgressUpdated(1, 39, 0, 0, 0), False),
        (ProgressUpdated(1, 100, 0, 0, 0), True),
        (ProgressUpdated(1, 101, 0, 0, 0), False),
        (ProgressUpdated(2, 50, 0, 0, 0), False),
    ],
)
def test_the_auditor_finds_stale_attempts_and_falling_progress(
    event: Event, *, legal: bool
) -> None:
    """With the job at forty per cent in its first attempt."""
    job = given(BEGUN, UpdateProgress("j", 1, 40)).world.job("j")
    assert legal == (violation(job, "job-j", event) is None)


@pytest.mark.parametrize("stream", ["drive-d", "server-s", "nonsense-n", ""])
def test_the_auditor_knows_which_events_belong_in_which_stream(stream: str) -> None:
    """An event of a job is at home in the stream of a job."""
    assert violation(None, stream, LEAF_EVENTS["JobCreated"]) is not None
