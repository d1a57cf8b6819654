"""Jobs of producers: how they begin, are taken up, reported on, asked to stop, and end."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ledger.domain.commands import Command
from ledger.domain.commands.jobs import CancelJob, CreateJob, StartAttempt
from ledger.domain.context import Fact
from ledger.domain.decisions.producers import ancestors
from ledger.domain.decisions.producers.losses import LOSSES_TOLD
from ledger.domain.errors.jobs import JobNotFound, JobOver, TooDeep
from ledger.domain.errors.producers import (
    AlreadyRegistered,
    AttemptReplaced,
    AttemptTaken,
    ChildrenRunning,
    EndedOtherwise,
    GraceNotOver,
    GroupSealed,
    JobForced,
    NobodyWorks,
    NotAGroup,
    NotCancellable,
    ParentOver,
    ParentUnknown,
    ReasonReserved,
    RecordedBefore,
    Reserved,
    TooManyChildren,
    UuidTaken,
)
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobFailed,
    JobSucceeded,
)
from ledger.domain.events.producers import (
    Exit,
    JobAttemptFailed,
    JobAttemptReturned,
    JobCancelRequested,
    JobCancelSeen,
    JobRegistered,
    JobSealed,
    LateReportRecorded,
    Tolerated,
    Topic,
)
from ledger.domain.events.values import ResourceKind
from ledger.domain.producers.commands import (
    AbandonJob,
    End,
    EndJob,
    FailAttempt,
    ForceEnd,
    LoseProducer,
    RegisterJob,
    ReportProgress,
    RequestCancel,
    ReturnAttempt,
    SealJob,
    SeeCancel,
    TakeUpJob,
)
from ledger.domain.producers.limits import limits
from tests.support.deciding import History, given
from tests.support.producing import (
    BROKEN,
    DONE,
    HERE,
    SKIPPED,
    STOPPED,
    THERE,
    group,
    queued,
    registered,
    report,
    running,
)
from tests.support.world import ME, SOMEBODY_ELSE, START, drive_created, server_created

ENDS: dict[str, End] = {
    "succeeded": DONE,
    "skipped": SKIPPED,
    "failed": BROKEN,
    "cancelled": STOPPED,
}
ASKED = RequestCancel(ME, "j", JobCancelRequested(60))
LOST = (running(), LoseProducer("j", 1))
ABANDONED = (*LOST, AbandonJob("j", 1))

# Registration


def test_a_registered_job_has_an_attempt_at_once() -> None:
    """Its creation is what it is for every job."""
    given().when(running()).then(
        Fact("job-j", JobCreated("backup", ME, (), "j")),
        Fact("job-j", registered()),
        Fact("job-j", JobAttemptStarted(1, holder=HERE, happened_at=START)),
    )


def test_a_queued_job_waits_for_somebody() -> None:
    given().when(queued()).then(
        Fact("job-j", JobCreated("backup", ME, (), "j")), Fact("job-j", registered())
    )


def test_a_job_is_about_drives_and_servers_of_the_account_alone() -> None:
    """It locks none of them. Others, and what is none, are addresses like any other."""
    kinds: list[tuple[ResourceKind, str]] = [
        *(("drives", "disk"), ("servers", "machine")),
        *(("drives", "theirs"), ("drives", "machine"), ("servers", "nowhere")),
    ]
    topics = tuple(Topic(kind, uuid) for kind, uuid in kinds)
    there = (drive_created("disk"), server_created("machine"))
    theirs = drive_created("theirs", owner=SOMEBODY_ELSE)
    said = replace(registered(), about=topics)
    given(*there, theirs).when(RegisterJob(ME, "j", "backup", said)).then(
        Fact("job-j", JobCreated("backup", ME, (), "j")),
        Fact("job-j", replace(said, about=topics[:2])),
    )


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_registration_may_hold_its_own_end(end: End) -> None:
    """For who can send one request only."""
    outcome = given().when(running(end=end))
    assert outcome.events_of("job-j")[-1] == end


def test_a_sub_job_is_attached_to_its_parent() -> None:
    """In the same transaction, so that it meets the parent's end as a conflict."""
    given(running("a"), running("b", "a")).when(queued("c", "b")).then(
        Fact("job-c", JobCreated("backup", ME, (), "a", "b", 0)),
        Fact("job-c", registered()),
        Fact("job-b", ChildAttached("c")),
    )


@pytest.mark.parametrize("again", [running(), queued("q"), group()], ids=["job", "queued", "group"])
def test_the_same_registration_again_changes_nothing(again: RegisterJob) -> None:
    """A client that got no answer sends it again."""
    given(running(), queued("q"), group()).when(again).then()


def test_who_queued_a_job_may_say_so_again_after_it_was_taken_up() -> None:
    """That asks for no attempt."""
    given(queued(), TakeUpJob("j", 0, HERE)).when(queued()).then()


def test_a_registration_that_comes_again_with_an_end_ends_the_job() -> None:
    """What is answered as recorded is recorded."""
    given(running()).when(running(end=DONE)).then(Fact("job-j", DONE))
    given(running(end=DONE)).when(running(end=DONE)).then()
    given(running(end=DONE)).when(running(end=BROKEN)).then_refused(EndedOtherwise)


def test_a_job_whose_parent_was_gone_is_the_same_when_its_parent_is_named_again() -> None:
    said = replace(registered(), was_below="gone")
    alone = RegisterJob(ME, "j", "backup", said, holder=HERE)
    given(alone).when(alone).then()
    given(alone).when(running(parent="gone")).then()
    given(alone).when(running(parent="another")).then_refused(UuidTaken)


@pytest.mark.parametrize(
    "nobodys",
    [replace(group("j"), holder=HERE), replace(queued(), end=DONE), replace(group(), end=DONE)],
    ids=["group with a holder", "queued with an end", "group with an end"],
)
def test_only_who_works_on_a_job_says_how_it_ended(nobodys: RegisterJob) -> None:
    given().when(nobodys).then_refused(NobodyWorks)


def test_the_same_again_is_refused_if_it_was_to_be_recorded_once() -> None:
    """So whoever asks knows whether it is new. What another process says is refused as ever."""
    once = replace(running(), once=True)
    given(running()).when(once).then_refused(RecordedBefore, "job j")
    given(running()).when(replace(once, end=DONE)).then_refused(RecordedBefore)
    given(running()).when(replace(once, holder=THERE)).then_refused(AlreadyRegistered)
    taken = given(queued(), TakeUpJob("j", 0, HERE))
    taken.when(TakeUpJob("j", 0, HERE, once=True)).then_refused(RecordedBefore, "job j")
    taken.when(TakeUpJob("j", 0, THERE, once=True)).then_refused(AttemptTaken)


def test_another_process_does_not_share_an_attempt() -> None:
    """It is told of the attempt that there is."""
    other = RegisterJob(ME, "j", "backup", registered(), None, THERE)
    given(running()).when(other).then_refused(AlreadyRegistered, "attempt 1")


@pytest.mark.parametrize(
    "other",
    [
        RegisterJob(SOMEBODY_ELSE, "j", "backup", registered(), None, HERE),
        RegisterJob(ME, "j", "restore", registered(), None, HERE),
        RegisterJob(ME, "j", "backup", registered(source="//mac"), None, HERE),
        RegisterJob(ME, "j", "backup", registered(external_id="x"), None, HERE),
        RegisterJob(ME, "j", "backup", registered(ends="children"), None, HERE),
        RegisterJob(ME, "j", "backup", registered(), "above", HERE),
        RegisterJob(ME, "ours", "x", registered(), None, HERE),
    ],
    ids=["owner", "operation", "source", "external id", "ends", "parent", "no producer's"],
)
def test_a_uuid_stands_for_one_job(other: RegisterJob) -> None:
    """Of another account's not a word more is said."""
    above = running("above"), CreateJob(ME, "ours", "x")
    given(running(), above).when(other).then_refused(UuidTaken, "exists already")


def test_an_external_id_stands_for_one_job_of_the_account() -> None:
    """It finds the job, whatever uuid a client has drawn, within account and source."""
    said = registered(external_id="photos@1")
    first = RegisterJob(ME, "j", "backup", said, None, HERE)
    again = replace(first, job="k")
    given(first).when(again).then()
    given(first).when(replace(again, end=DONE)).then(Fact("job-j", DONE))
    given(first).when(replace(again, holder=THERE)).then_refused(AlreadyRegistered, "job j")
    given(first).when(replace(again, operation="x")).then_refused(AlreadyRegistered, "job j")
    for other in (
        replace(again, owner=SOMEBODY_ELSE),
        replace(again, registered=registered(source="//mac", external_id="photos@1")),
        replace(again, registered=registered(external_id="photos@2")),
    ):
        assert given(first).when(other).events_of("job-k")


@pytest.mark.parametrize("operation", ["drive_clone", "server_clone"])
def test_our_operations_are_ours(operation: str) -> None:
    """Nobody else says how a clone goes."""
    theirs = RegisterJob(ME, "j", operation, registered())
    given().when(theirs).then_refused(Reserved, operation, point="operation")


@pytest.mark.parametrize(
    ("parent", "refusal"),
    [
        ("nothing", ParentUnknown),
        ("theirs", ParentUnknown),
        ("ours", ParentUnknown),
        ("over", ParentOver),
        ("sealed", GroupSealed),
        ("full", GroupSealed),
    ],
)
def test_a_parent_that_takes_no_sub_jobs(parent: str, refusal: type) -> None:
    """One of another account is not found, and what has ended or is sealed has all that it gets."""
    history: list[History] = [
        RegisterJob(SOMEBODY_ELSE, "theirs", "backup", registered(), None, HERE),
        CreateJob(ME, "ours", "x"),
        running("over", end=DONE),
        (group("sealed"), running("a", "sealed"), SealJob(ME, "sealed")),
        (group("full", expect=1), running("b", "full")),
    ]
    given(*history).when(running("j", parent)).then_refused(refusal, parent)


def test_a_parent_has_so_many_sub_jobs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ancestors, "CHILDREN_MOST", 2)
    full = running(), running("a", "j"), running("b", "j")
    given(full).when(running("c", "j")).then_refused(TooManyChildren, "2")


def test_a_tree_has_so_many_levels_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ancestors, "DEPTH_LIMIT", 2)
    given(running("a"), running("b", "a")).when(running("c", "b")).then_refused(TooDeep)


def test_workers_of_ours_do_not_touch_a_producers_job() -> None:
    given(queued()).when(StartAttempt("j", 1, "w")).then_refused(JobNotFound)
    given(queued()).when(CancelJob(ME, "j")).then_refused(JobNotFound)
    given(queued()).when(CreateJob(ME, "k", "x", (), "j")).then_refused(JobNotFound)


# Attempts


def test_a_queued_job_is_taken_up() -> None:
    given(queued()).when(TakeUpJob("j", 0, HERE)).then(
        Fact("job-j", JobAttemptStarted(1, holder=HERE))
    )


def test_taking_up_again_changes_nothing() -> None:
    """It is this process's own attempt."""
    given(queued(), TakeUpJob("j", 0, HERE)).when(TakeUpJob("j", 0, HERE)).then()


def test_two_processes_do_not_take_up_the_same_job() -> None:
    """The second follows an attempt that is no longer the newest."""
    given(queued(), TakeUpJob("j", 0, HERE)).when(TakeUpJob("j", 0, THERE)).then_refused(
        AttemptTaken, "attempt 1"
    )


def test_an_attempt_that_goes_on_is_replaced_only_on_purpose() -> None:
    given(running()).when(TakeUpJob("j", 1, THERE)).then_refused(AttemptTaken)
    given(running()).when(TakeUpJob("j", 1, THERE, replaces=True)).then(
        Fact("job-j", JobAttemptStarted(2, holder=THERE))
    )


def test_a_lost_job_is_taken_up() -> None:
    given(LOST).when(TakeUpJob("j", 1, THERE)).then(
        Fact("job-j", JobAttemptStarted(2, holder=THERE))
    )


def test_a_job_waits_for_its_next_attempt() -> None:
    """Its attempt failed, and the job did not."""
    failed = JobAttemptFailed(1, START, START + timedelta(hours=1), exit=Exit(75))
    waiting = given(running(), FailAttempt("j", failed))
    waiting.when(ReportProgress("j", report(1))).then_refused(NobodyWorks)
    waiting.when(TakeUpJob("j", 1, HERE)).then(Fact("job-j", JobAttemptStarted(2, holder=HERE)))


def test_an_attempt_that_has_failed_may_say_so_again() -> None:
    failed = FailAttempt("j", JobAttemptFailed(1, START))
    given(running(), failed).when(failed).then()
    given(queued()).when(FailAttempt("j", JobAttemptFailed(0, START))).then_refused(NobodyWorks)


def test_a_group_has_no_attempts() -> None:
    given(group()).when(TakeUpJob("g", 0, HERE)).then_refused(NobodyWorks)
    given(group()).when(ReportProgress("g", report(1))).then_refused(NobodyWorks)


# Reports


def test_a_report_is_recorded_with_its_share() -> None:
    """In per cent, which never goes down while the total is exact."""
    given(running(), ReportProgress("j", report(40))).when(ReportProgress("j", report(30))).then(
        Fact("job-j", report(30, percent=40))
    )


@pytest.mark.parametrize(
    "command",
    [
        ReportProgress("j", report(1)),
        ReturnAttempt("j", 1),
        LoseProducer("j", 1),
        FailAttempt("j", JobAttemptFailed(1, START)),
        SeeCancel("j", 1),
        EndJob("j", 1, DONE),
    ],
    ids=lambda command: type(command).__name__,
)
def test_an_attempt_that_was_replaced_reports_nothing(command: ReportProgress) -> None:
    """Whoever made it must stop."""
    replaced = running(), TakeUpJob("j", 1, THERE, replaces=True)
    given(replaced).when(command).then_refused(AttemptReplaced, "attempt 2, not 1")


def test_a_loss_is_recorded_once_with_the_last_report() -> None:
    given(running()).when(LoseProducer("j", 1, report(7))).then(
        Fact("job-j", JobAttemptLost(1, report(7, percent=7)))
    )
    given(LOST).when(LoseProducer("j", 1)).then()
    of_another = LoseProducer("j", 1, report(7, attempt=2))
    given(running()).when(of_another).then_refused(AttemptReplaced)


def test_a_report_takes_the_loss_back() -> None:
    given(LOST).when(ReportProgress("j", report(7))).then(
        Fact("job-j", JobAttemptReturned(1)), Fact("job-j", report(7, percent=7))
    )
    given(LOST).when(ReturnAttempt("j", 1)).then(Fact("job-j", JobAttemptReturned(1)))
    given(running()).when(ReturnAttempt("j", 1)).then()


def test_what_was_shown_does_not_go_down_for_a_loss_or_a_report_without_figures() -> None:
    """The last report before a loss is shown like any other."""
    lost = running(), ReportProgress("j", report(50)), LoseProducer("j", 1, report(60))
    for meanwhile in ((), ReportProgress("j", report(0, None))):
        said = given(lost, meanwhile).when(ReportProgress("j", report(10)))
        assert said.events_of("job-j")[-1] == report(10, percent=60)
        job = said.world.job("j")
        assert job is not None
        assert job.progress == 60


def test_a_report_from_a_spool_is_no_sign_of_life() -> None:
    """One that is older than what was reported since is recorded, but not shown."""
    old = replace(report(7), stale=True)
    lost = *LOST[:1], ReportProgress("j", report(40)), LoseProducer("j", 1)
    outcome = given(lost).when(ReportProgress("j", old, buffered=True))
    outcome.then(Fact("job-j", replace(old, percent=7)))
    job = outcome.world.job("j")
    assert job is not None
    assert job.produced is not None
    assert (job.lost, job.progress, job.produced.shown) == (True, 40, 40)


def test_a_bad_line_does_not_fill_the_history() -> None:
    """Losses after an attempt's tenth are shown, but are no events."""
    lost = [LoseProducer("j", 1), ReturnAttempt("j", 1)] * LOSSES_TOLD
    given(running(), lost).when(LoseProducer("j", 1)).then()
    taken_over = TakeUpJob("j", 1, THERE, replaces=True)
    given(running(), lost, taken_over).when(LoseProducer("j", 2)).then(
        Fact("job-j", JobAttemptLost(2))
    )


# Ends


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_job_ends_as_its_producer_says(end: End) -> None:
    given(running()).when(EndJob("j", 1, end)).then(Fact("job-j", end))


@pytest.mark.parametrize("said", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("ended", ENDS.values(), ids=ENDS)
def test_an_end_that_was_acknowledged_never_changes(ended: End, said: End) -> None:
    """The same again is no error, and something else is refused."""
    again = given(running(), EndJob("j", 1, ended)).when(EndJob("j", 1, said))
    if type(ended) is type(said):
        again.then()
    else:
        again.then_refused(EndedOtherwise)


@pytest.mark.parametrize(
    "command",
    [
        EndJob("j", 1, JobFailed(reason="lost", happened_at=START)),
        EndJob("j", 1, JobCancelled("forced", START)),
        FailAttempt("j", JobAttemptFailed(1, START, reason="expired")),
        running("k", end=JobFailed(reason="children", happened_at=START)),
    ],
    ids=["lost", "forced", "expired", "children"],
)
def test_a_producer_gives_no_reason_of_ours(command: EndJob) -> None:
    """Otherwise it could say another end later, or would be told that it was forced."""
    given(running()).when(command).then_refused(ReasonReserved, point="reason")


def test_what_runs_below_does_not_keep_a_job_from_ending() -> None:
    """Nor does it end by that, and its own end tells the parent nothing."""
    family = running(), running("a", "j"), running("b", "j")
    ended = given(family, EndJob("a", 1, BROKEN)).when(EndJob("j", 1, DONE))
    ended.then(Fact("job-j", DONE))
    given(family, EndJob("j", 1, DONE)).when(EndJob("b", 1, DONE)).then(Fact("job-b", DONE))


def test_a_lost_job_is_abandoned() -> None:
    [gone] = given(LOST).when(AbandonJob("j", 1)).events_of("job-j")
    assert isinstance(gone, JobFailed)
    assert gone.reason == "lost"


def test_a_job_without_a_lease_is_abandoned_though_it_was_never_lost() -> None:
    """Nothing else would end it: its producer may be gone, and it may not be cancellable."""
    said = replace(registered(cancellable=False), limits=limits())
    endless = RegisterJob(ME, "j", "backup", said, holder=HERE)
    [gone] = given(endless).when(AbandonJob("j", 1)).events_of("job-j")
    assert isinstance(gone, JobFailed)
    assert gone.reason == "lost"
    given(running()).when(AbandonJob("j", 1)).then()


def test_nothing_is_given_up_of_which_there_is_news() -> None:
    """A report, or another attempt, came before."""
    given(LOST, ReturnAttempt("j", 1)).when(AbandonJob("j", 1)).then()
    given(LOST, TakeUpJob("j", 1, THERE)).when(AbandonJob("j", 1)).then()


@pytest.mark.parametrize("outcome", ENDS)
def test_a_job_that_was_given_up_is_told_how_it_ended(outcome: str) -> None:
    """Once, beside the end that it has; then that is what counts."""
    late = given(ABANDONED).when(EndJob("j", 1, ENDS[outcome]))
    [told] = late.events_of("job-j")
    assert isinstance(told, LateReportRecorded)
    assert (told.outcome, told.reason) == (outcome, getattr(ENDS[outcome], "reason", None))
    again = given(ABANDONED, EndJob("j", 1, ENDS[outcome]))
    again.when(EndJob("j", 1, ENDS[outcome])).then()
    other = DONE if outcome == "failed" else BROKEN
    again.when(EndJob("j", 1, other)).then_refused(EndedOtherwise)


def test_only_the_last_attempt_says_how_an_abandoned_job_ended() -> None:
    """What an earlier one says must not keep it from that."""
    twice = *LOST, TakeUpJob("j", 1, THERE), LoseProducer("j", 2), AbandonJob("j", 2)
    given(twice).when(EndJob("j", 1, BROKEN)).then_refused(AttemptReplaced)
    given(twice).when(EndJob("j", 2, DONE)).then(
        Fact("job-j", LateReportRecorded(2, "succeeded", START, exit=Exit(0)))
    )


@pytest.mark.parametrize(
    "given_up",
    [ABANDONED, (running(), FailAttempt("j", JobAttemptFailed(1, START)), AbandonJob("j", 1))],
    ids=["lost", "expired"],
)
def test_an_attempt_of_which_nobody_has_heard_says_how_an_abandoned_job_ended(
    given_up: tuple[Command, ...],
) -> None:
    """It began while nobody could be told. What came first stays."""
    told = given(given_up).when(EndJob("j", 3, DONE))
    told.then(Fact("job-j", LateReportRecorded(3, "succeeded", START, exit=Exit(0))))
    again = given(given_up, EndJob("j", 3, DONE))
    again.when(EndJob("j", 3, DONE)).then()
    again.when(EndJob("j", 1, BROKEN)).then_refused(EndedOtherwise)


def test_nobody_takes_a_job_up_for_too_long() -> None:
    [gone] = given(queued()).when(AbandonJob("j", 0)).events_of("job-j")
    assert isinstance(gone, JobFailed)
    assert gone.reason == "expired"


def test_a_job_that_nobody_took_up_has_no_end_to_report() -> None:
    given(queued()).when(EndJob("j", 0, DONE)).then_refused(NobodyWorks)


# Cancellation


def test_a_request_is_recorded_and_the_job_goes_on() -> None:
    given(running()).when(ASKED).then(Fact("job-j", ASKED.request))
    given(running(), ASKED).when(ASKED).then()
    given(running(), ASKED).when(EndJob("j", 1, DONE)).then(Fact("job-j", DONE))


def test_the_producer_says_once_that_it_knows() -> None:
    """Of a request to its job, or to one above."""
    given(running(), ASKED).when(SeeCancel("j", 1)).then(Fact("job-j", JobCancelSeen(1)))
    seen = running(), ASKED, SeeCancel("j", 1)
    given(seen).when(SeeCancel("j", 1)).then()
    taken_over = TakeUpJob("j", 1, THERE, replaces=True)
    given(seen, taken_over).when(SeeCancel("j", 2)).then(Fact("job-j", JobCancelSeen(2)))


def test_a_queued_job_ends_on_the_spot() -> None:
    """There is nobody who would have to stop."""
    given(queued()).when(ASKED).then(
        Fact("job-j", ASKED.request), Fact("job-j", JobCancelled("requested", START))
    )


def test_a_job_that_was_asked_before_its_attempt_failed_ends_when_it_is_asked_again() -> None:
    """Nobody else would end it soon, nor have to stop."""
    failed = running(), ASKED, FailAttempt("j", JobAttemptFailed(1, START))
    given(failed).when(ASKED).then(Fact("job-j", JobCancelled("requested", START)))


def test_some_jobs_cannot_be_cancelled() -> None:
    """The refusal names the host on which it could be stopped."""
    given(running(cancellable=False)).when(ASKED).then_refused(NotCancellable, "nas")


@pytest.mark.parametrize("command", [ASKED, ForceEnd(ME, "j"), AbandonJob("j", 1)])
def test_what_is_over_is_not_stopped(command: RequestCancel) -> None:
    given(running(end=DONE)).when(command).then_refused(JobOver)


@pytest.mark.parametrize(
    "command",
    [
        RequestCancel(SOMEBODY_ELSE, "j", JobCancelRequested(60)),
        ForceEnd(SOMEBODY_ELSE, "j"),
        SealJob(SOMEBODY_ELSE, "j"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_others_do_not_find_the_job(command: RequestCancel) -> None:
    given(running()).when(command).then_refused(JobNotFound)


def test_a_record_is_ended_by_force_once_the_grace_is_over() -> None:
    given(running(), ASKED).when(ForceEnd(ME, "j")).then_refused(GraceNotOver)
    given(running()).when(ForceEnd(ME, "j")).then_refused(GraceNotOver)
    at_once = RequestCancel(ME, "j", JobCancelRequested(-60))
    forced = Fact("job-j", JobCancelled("forced", START))
    given(running(), at_once).when(ForceEnd(ME, "j")).then(forced)
    for end in ENDS.values():
        given(running(), at_once, ForceEnd(ME, "j")).when(EndJob("j", 1, end)).then_refused(
            JobForced
        )


def test_a_lost_job_is_ended_at_once() -> None:
    """As lost, so that its producer may still say how it ended."""
    [gone] = given(LOST).when(ForceEnd(ME, "j")).events_of("job-j")
    assert isinstance(gone, JobFailed)
    assert gone.reason == "lost"


@pytest.mark.parametrize(
    ("after", "stops"),
    [
        ((), False),
        ((EndJob("j", 1, DONE),), False),
        ((EndJob("j", 1, replace(DONE, stops_below=True)),), True),
        ((EndJob("j", 1, BROKEN),), True),
        ((EndJob("j", 1, STOPPED),), True),
        ((ASKED,), True),
        ((RequestCancel(ME, "j", JobCancelRequested(60, cascade=False)),), False),
        (
            (
                RequestCancel(ME, "j", JobCancelRequested(60, cascade=False)),
                EndJob("j", 1, STOPPED),
            ),
            False,
        ),
    ],
)
def test_whether_the_jobs_below_are_asked_to_stop(
    after: tuple[Command, ...], *, stops: bool
) -> None:
    """By a request to this one, unless it was for this one alone, or because of how it ended."""
    job = given(running(), *after).world.job("j")
    assert job is not None
    assert job.produced is not None
    assert job.produced.stops_below == stops


# Groups


def test_a_group_ends_once_it_is_sealed_and_nothing_runs() -> None:
    """Whichever comes last."""
    first = given(group(), running("a", "g"), SealJob(ME, "g")).when(EndJob("a", 1, DONE))
    first.then(
        Fact("job-a", DONE),
        Fact("job-g", ChildEnded("a", "success")),
        Fact("job-g", JobSucceeded(START)),
    )
    last = given(group(), running("a", "g"), EndJob("a", 1, DONE)).when(SealJob(ME, "g"))
    last.then(Fact("job-g", JobSealed()), Fact("job-g", JobSucceeded(START)))


def test_a_group_without_sub_jobs_ends_when_it_is_sealed() -> None:
    given(group()).when(SealJob(ME, "g")).then(
        Fact("job-g", JobSealed()), Fact("job-g", JobSucceeded(START))
    )
    given(group(), SealJob(ME, "g")).when(SealJob(ME, "g")).then()
    given(running()).when(SealJob(ME, "j")).then_refused(NotAGroup)


@pytest.mark.parametrize(
    ("ends", "tolerate", "expected"),
    [
        (("succeeded", "skipped"), (), "succeeded"),
        (("succeeded", "failed", "cancelled"), (), "failed"),
        (("succeeded", "cancelled"), (), "cancelled"),
        (("succeeded", "failed"), ("failed",), "succeeded"),
        (("failed", "cancelled"), ("failed",), "cancelled"),
        (("failed", "cancelled"), ("failed", "cancelled"), "succeeded"),
    ],
)
def test_a_group_ends_as_its_sub_jobs(
    ends: tuple[str, ...], tolerate: tuple[Tolerated, ...], expected: str
) -> None:
    """One that failed outweighs one that was cancelled; what is tolerated does not count."""
    below = [running(f"{nth}", "g", end=ENDS[end]) for nth, end in enumerate(ends)]
    sealed = given(group(tolerate=tolerate), below).when(SealJob(ME, "g"))
    job = sealed.world.job("g")
    assert job is not None
    assert job.produced is not None
    assert job.produced.outcome == expected


@pytest.mark.parametrize(("tolerate", "expected"), [((), "failed"), (("missing",), "succeeded")])
def test_a_group_misses_sub_jobs_that_never_came(
    tolerate: tuple[Tolerated, ...], expected: str
) -> None:
    few = given(group(expect=3, tolerate=tolerate), running("a", "g", end=DONE))
    job = few.when(SealJob(ME, "g")).world.job("g")
    assert job is not None
    assert job.produced is not None
    assert job.produced.outcome == expected
    assert job.error == (None if tolerate else "expected 3, saw 1")


def test_the_last_sub_job_that_was_expected_seals_the_group() -> None:
    """Nobody has to say so."""
    two = group(expect=2), running("a", "g")
    outcome = given(two).when(running("b", "g"))
    assert outcome.events_of("job-g") == [ChildAttached("b"), JobSealed()]
    done = given(two, running("b", "g"), EndJob("a", 1, DONE)).when(EndJob("b", 1, DONE))
    assert done.events_of("job-g") == [ChildEnded("b", "success"), JobSucceeded(START)]


@pytest.mark.parametrize("expect", [None, 3])
def test_sub_jobs_that_a_request_kept_from_coming_are_not_missing(expect: int | None) -> None:
    """They count as cancelled."""
    asked = RequestCancel(ME, "g", JobCancelRequested(60))
    below = [running("a", "g", end=DONE)] if expect else []
    [*_, end] = given(group(expect=expect), below).when(asked).events_of("job-g")
    assert end == JobCancelled("requested", START)


def test_a_group_that_nobody_seals_is_abandoned() -> None:
    """Unless somebody works on a sub-job; one that ends later tells it nothing."""
    busy = group(), running("a", "g", end=DONE), running("b", "g"), AbandonJob("g", 0)
    assert given(busy).world.job("g").state == "started"  # type: ignore[union-attr]
    idle = *busy, LoseProducer("b", 1), AbandonJob("g", 0)
    ended = given(idle).when(EndJob("b", 1, DONE))
    ended.then(Fact("job-b", DONE))
    job = ended.world.job("g")
    assert job is not None
    assert job.error == "nobody sealed it"


def test_a_group_that_is_sealed_waits_for_its_sub_jobs() -> None:
    """They end sooner or later, and then it does."""
    given(group(), running("a", "g"), SealJob(ME, "g")).when(AbandonJob("g", 0)).then()


def test_a_request_to_a_group_seals_it() -> None:
    """Its sub-jobs are asked when they report."""
    asked = RequestCancel(ME, "g", JobCancelRequested(60))
    given(group(), running("a", "g")).when(asked).then(
        Fact("job-g", asked.request), Fact("job-g", JobSealed())
    )
    given(group()).when(asked).then(
        Fact("job-g", asked.request),
        Fact("job-g", JobSealed()),
        Fact("job-g", JobCancelled("requested", START)),
    )


def test_groups_of_groups_end_from_below() -> None:
    deep = group(), group("h", "g"), running("a", "h"), SealJob(ME, "g"), SealJob(ME, "h")
    given(deep).when(EndJob("a", 1, BROKEN)).then(
        Fact("job-a", BROKEN),
        Fact("job-h", ChildEnded("a", "failed")),
        Fact("job-h", JobFailed("1 of 1 failed", "children", START)),
        Fact("job-g", ChildEnded("h", "failed")),
        Fact("job-g", JobFailed("1 of 1 failed", "children", START)),
    )


def test_what_is_told_of_has_happened_in_its_order_and_by_now() -> None:
    """Their clocks may be wrong: no duration is negative, and no end is still to come."""
    early, late = START - timedelta(hours=1), START + timedelta(days=1)
    began = RegisterJob(ME, "j", "backup", replace(registered(), happened_at=late), None, HERE)
    (_, said, attempt) = given().when(began).events_of("job-j")
    assert isinstance(said, JobRegistered)
    assert isinstance(attempt, JobAttemptStarted)
    assert said.happened_at == attempt.happened_at
    assert said.happened_at < late
    before = given(running()).when(EndJob("j", 1, JobSucceeded(early))).events_of("job-j")
    assert before == [JobSucceeded(START)]
    (later,) = given(running()).when(EndJob("j", 1, JobSucceeded(late))).events_of("job-j")
    assert isinstance(later, JobSucceeded)
    assert later.happened_at is not None
    assert START <= later.happened_at < late


def test_a_job_may_end_only_once_nobody_works_below_it() -> None:
    """If it says so; whoever is lost or waits in the queue does not count."""
    alone = EndJob("j", 1, DONE, alone=True)
    at_work = running("a", "j"), running("b", "j")
    given(running(), *at_work, EndJob("a", 1, DONE)).when(alone).then_refused(ChildrenRunning, "1")
    given(running(), *at_work, EndJob("a", 1, DONE), LoseProducer("b", 1)).when(alone).then(
        Fact("job-j", DONE)
    )
    given(running(), queued("q", "j"), running("d", "j", end=BROKEN)).when(alone).then(
        Fact("job-j", DONE)
    )
    given(running(), *at_work).when(EndJob("j", 1, DONE)).then(Fact("job-j", DONE))
