"""What an auditor allows in the stream of a producer's job."""

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.context import Fact
from ledger.domain.event_rules import violation
from ledger.domain.events import Event
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
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
    JobSealed,
    JobSkipped,
    LateReportRecorded,
    ProgressReported,
    Tolerated,
)
from ledger.domain.producers.commands import (
    AbandonJob,
    End,
    EndJob,
    FailAttempt,
    LoseProducer,
    RequestCancel,
    SealJob,
    SeeCancel,
)
from tests.support.deciding import given
from tests.support.producing import (
    BROKEN,
    DONE,
    HERE,
    SKIPPED,
    STOPPED,
    group,
    queued,
    registered,
    running,
)
from tests.support.world import ME, START

RUNNING = running()
GROUP = group("j")
ASKED = RequestCancel(ME, "j", JobCancelRequested(60))
STATES: dict[str, tuple[Command, ...]] = {
    "queued": (queued(),),
    "running": (RUNNING,),
    "lost": (RUNNING, LoseProducer("j", 1)),
    "waiting": (RUNNING, FailAttempt("j", JobAttemptFailed(1, START))),
    "asked": (RUNNING, ASKED, SeeCancel("j", 1)),
    "over": (RUNNING, EndJob("j", 1, DONE)),
    "abandoned": (RUNNING, LoseProducer("j", 1), AbandonJob("j", 1)),
    "expired": (RUNNING, FailAttempt("j", JobAttemptFailed(1, START)), AbandonJob("j", 1)),
    "never taken up": (queued(), AbandonJob("j", 0)),
    "told late": (
        RUNNING,
        LoseProducer("j", 1),
        AbandonJob("j", 1),
        EndJob("j", 1, DONE),
    ),
    "group": (GROUP, running("k", "j")),
    "sealed": (GROUP, running("k", "j"), SealJob(ME, "j")),
    "settled": (GROUP, running("k", "j"), EndJob("k", 1, DONE)),
    "given up": (GROUP, AbandonJob("j", 0)),
}
EVENTS: dict[str, Event] = {
    "JobRegistered": registered(),
    "ChildAttached": ChildAttached("new"),
    "ChildEnded": ChildEnded("k", "success"),
    "JobAttemptStarted": JobAttemptStarted(2, holder=HERE),
    "attempt of a worker": JobAttemptStarted(2, "w"),
    "JobAttemptLost": JobAttemptLost(1),
    "lost too far": JobAttemptLost(1, ProgressReported(1, START, percent=100)),
    "lost by another": JobAttemptLost(1, ProgressReported(2, START)),
    "JobAttemptReturned": JobAttemptReturned(1),
    "JobAttemptFailed": JobAttemptFailed(1, START),
    "ProgressUpdated": ProgressUpdated(1, 50, 0, 0, 0),
    "ProgressReported": ProgressReported(1, START, percent=99),
    "too much": ProgressReported(1, START, percent=100),
    "another attempt's": ProgressReported(2, START),
    "JobSealed": JobSealed(),
    "JobCancelRequested": JobCancelRequested(60),
    "JobCancelSeen": JobCancelSeen(1),
    "JobSucceeded": JobSucceeded(START),
    "JobSkipped": JobSkipped(START),
    "JobFailed": JobFailed(reason="program"),
    "lost for ever": JobFailed("silent", "lost"),
    "JobCancelled": JobCancelled("interrupted"),
    "forced": JobCancelled("forced"),
    "LateReportRecorded": LateReportRecorded(1, "succeeded", START),
    "earlier one's late": LateReportRecorded(0, "succeeded", START),
    "unheard one's late": LateReportRecorded(2, "succeeded", START),
}
_ENDS = "JobSucceeded JobSkipped JobFailed lost_for_ever JobCancelled forced"
_WORK = "JobAttemptStarted JobAttemptFailed ProgressReported ChildAttached"
_LEGAL = {
    "queued": "ChildAttached JobAttemptStarted JobCancelRequested lost_for_ever forced",
    "running": f"{_WORK} {_ENDS} JobAttemptLost JobCancelRequested JobCancelSeen",
    "lost": f"{_WORK} {_ENDS} JobAttemptReturned JobCancelRequested JobCancelSeen",
    "waiting": f"{_ENDS} ChildAttached JobAttemptStarted JobCancelRequested",
    "asked": f"{_WORK} {_ENDS} JobAttemptLost",
    "over": "",
    "abandoned": "LateReportRecorded unheard_one's_late",
    "expired": "LateReportRecorded unheard_one's_late",
    "never taken up": "",
    "told late": "",
    "group": "ChildAttached ChildEnded JobSealed JobCancelRequested lost_for_ever forced",
    "sealed": "ChildEnded JobCancelRequested lost_for_ever forced",
    "settled": "ChildAttached JobSealed JobCancelRequested lost_for_ever forced",
    "given up": "",
}
LEGAL = {
    (state, event.replace("_", " ")) for state, events in _LEGAL.items() for event in events.split()
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_the_auditor_allows_what_decisions_record(state: str, event: str) -> None:
    """In each state exactly the events that a decision could have led to are legal."""
    job = given(*STATES[state]).world.job("j")
    assert isinstance(job, Job)
    reason = violation(job, "job-j", EVENTS[event])
    assert ((state, event) in LEGAL) == (reason is None), reason


@pytest.mark.parametrize(
    ("before", "event", "saying"),
    [
        (JobLabelled({"env": "x"}), registered(), "begun before it was registered"),
        (JobAttemptStarted(1, "w"), registered(), "begun before it was registered"),
        (JobLabelled({"env": "x"}), JobAttemptStarted(1, holder=HERE), "no worker"),
    ],
    ids=["labelled", "taken up", "by a producer"],
)
def test_the_auditor_keeps_our_jobs_from_producers(
    before: Event, event: Event, saying: str
) -> None:
    job = given(CreateJob(ME, "j", "x"), Fact("job-j", before)).world.job("j")
    reason = violation(job, "job-j", event)
    assert reason is not None
    assert saying in reason


GROUP_ENDS: dict[str, Event] = {
    "success": JobSucceeded(START),
    "failed": JobFailed("1 of 2 failed", "children", START),
    "cancelled": JobCancelled(happened_at=START),
}


@pytest.mark.parametrize(
    ("ends", "tolerate", "expect", "asked", "legal"),
    [
        ((), (), None, False, "success"),
        ((), (), None, True, "cancelled"),
        ((DONE, SKIPPED), (), None, False, "success"),
        ((DONE, SKIPPED), (), None, True, "success"),
        ((BROKEN, STOPPED), (), None, False, "failed"),
        ((BROKEN, STOPPED), (), None, True, "failed"),
        ((DONE, STOPPED), (), None, False, "cancelled"),
        ((BROKEN, STOPPED), ("failed",), None, False, "cancelled"),
        ((BROKEN, STOPPED), ("failed", "cancelled"), None, False, "success"),
        ((DONE,), (), 2, False, "failed"),
        ((DONE,), ("missing",), 2, False, "success"),
        ((DONE,), (), 2, True, "cancelled"),
        ((DONE,), ("missing",), 2, True, "cancelled"),
        ((DONE,), ("cancelled",), 2, True, "success"),
    ],
)
def test_the_auditor_allows_a_group_the_end_of_its_sub_jobs(
    ends: tuple[End, ...],
    tolerate: tuple[Tolerated, ...],
    expect: int | None,
    legal: str,
    *,
    asked: bool,
) -> None:
    """And no other. A request may keep some from coming, which then count as cancelled."""
    below = [running(f"{nth}", "j", end=end) for nth, end in enumerate(ends)]
    sealed = [
        Fact("job-j", event)
        for event in ((JobCancelRequested(60), JobSealed()) if asked else (JobSealed(),))
    ]
    job = given(group("j", expect=expect, tolerate=tolerate), below, sealed).world.job("j")
    assert isinstance(job, Job)
    allowed = [how for how, end in GROUP_ENDS.items() if violation(job, "job-j", end) is None]
    assert allowed == [legal]
