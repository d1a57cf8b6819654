"""What an auditor allows in the stream of a producer's job."""

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.event_rules import violation
from ledger.domain.events import Event
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobFailed,
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
)
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    LoseProducer,
    RequestCancel,
    SealJob,
    SeeCancel,
)
from tests.support.deciding import given
from tests.support.producing import DONE, HERE, group, queued, registered, running
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
    "told late": (
        RUNNING,
        LoseProducer("j", 1),
        AbandonJob("j", 1),
        EndJob("j", 1, DONE),
    ),
    "group": (GROUP, running("k", "j")),
    "sealed": (GROUP, running("k", "j"), SealJob(ME, "j")),
    "settled": (GROUP, running("k", "j"), EndJob("k", 1, DONE)),
}
EVENTS: dict[str, Event] = {
    "JobRegistered": registered(),
    "ChildAttached": ChildAttached("new"),
    "ChildEnded": ChildEnded("k", "success"),
    "JobAttemptStarted": JobAttemptStarted(2, holder=HERE),
    "attempt of a worker": JobAttemptStarted(2, "w"),
    "JobAttemptLost": JobAttemptLost(1),
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
    "abandoned": "LateReportRecorded",
    "told late": "",
    "group": "ChildAttached ChildEnded JobSealed JobCancelRequested lost_for_ever forced",
    "sealed": "ChildEnded JobCancelRequested lost_for_ever forced",
    "settled": f"{_ENDS} ChildAttached JobSealed JobCancelRequested",
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
