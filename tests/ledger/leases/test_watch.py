"""Attempts that are silent are lost, and come back; jobs are abandoned that nobody reports on."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.errors.producers import AttemptTaken
from ledger.domain.errors.store import StoreUnreachable, UnreadableStream
from ledger.domain.events.jobs import JobAttemptLost, JobFailed
from ledger.domain.events.producers import JobAttemptFailed, JobCancelRequested
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    LoseProducer,
    RegisterJob,
    ReturnAttempt,
    SealJob,
    TakeUpJob,
)
from ledger.domain.producers.leases import Expect
from ledger.leases.figures import Figures, encode
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from ledger.store.writer import Caller
from tests.ledger.leases.present import ABANDON_S, LEASE_S, LOST_S, Present, beat, working
from tests.support.producing import DONE, THERE, group, report
from tests.support.world import ME, START


async def test_a_silent_attempt_is_lost_once_and_not_before_its_lease_and_five_seconds(
    present: Present,
) -> None:
    present.opened.do(working())
    await present.after(LOST_S - 1)
    assert present.told() == []
    await present.after(2)
    await present.after(2)
    assert present.told() == ["JobAttemptLost"]
    assert (present.job().state, present.job().lost) == ("started", True)


async def test_the_loss_has_the_last_report(present: Present) -> None:
    present.opened.do(working())
    figures = encode(Figures(report(40), "photos/2019"))
    beats = present.beats
    beats.hold(beat(figures=figures))
    await beats.flush()
    await present.after(LOST_S)
    lost = present.events()[-1]
    assert isinstance(lost, JobAttemptLost)
    assert lost.last is not None
    assert (lost.last.done, lost.last.percent) == (40, 40)


async def test_a_beat_takes_a_loss_back(present: Present) -> None:
    """Its return is recorded before it is answered, and its lease begins anew."""
    present.opened.do(working())
    await present.after(LOST_S)
    assert (await present.beat()).renewed
    assert present.told() == ["JobAttemptLost", "JobAttemptReturned"]
    await present.after(LOST_S - 1)
    assert not present.job().lost
    await present.after(1)
    assert present.job().lost


async def test_it_is_abandoned_a_time_after_the_loss(present: Present) -> None:
    """Not after the last report, and not if it has returned meanwhile."""
    present.opened.do(working())
    await present.after(LOST_S)
    await present.after(ABANDON_S - 1)
    assert present.told() == ["JobAttemptLost"]
    await present.beat()
    await present.after(LOST_S)
    await present.after(ABANDON_S + 4)
    assert present.job().state == "started"
    await present.after(1)
    last = present.events()[-1]
    assert isinstance(last, JobFailed)
    assert last.reason == "lost"
    assert present.lease() is None


async def test_how_an_abandoned_job_really_ended_is_recorded_once(present: Present) -> None:
    present.opened.do(working())
    await present.after(LOST_S)
    await present.after(ABANDON_S + 5)
    for _ in range(2):
        present.opened.do(EndJob("j", 1, DONE))
    assert present.told() == ["JobAttemptLost", "JobFailed", "LateReportRecorded"]


async def test_absence_of_the_service_costs_nobody_a_lease(present: Present) -> None:
    """However long it is away: nobody is lost or abandoned who could not report."""
    present.opened.do(working("silent"), working("lost"))
    await present.beat("silent")
    await present.after(LOST_S - 10)
    await present.beat("silent")
    await present.after(10)
    assert present.told("lost") == ["JobAttemptLost"]
    await present.after_absence(10 * ABANDON_S)
    assert present.told("silent") == []
    assert present.told("lost") == ["JobAttemptLost"]
    await present.after(LEASE_S)
    assert present.told("silent") == ["JobAttemptLost"]
    await present.after(ABANDON_S)
    assert present.job("lost").state == "failed"


async def test_a_job_from_which_no_beats_are_expected_is_never_lost(present: Present) -> None:
    """It is abandoned a time after its deadline, or after its last report if that is later."""
    present.opened.do(working("quiet", lease_s=None), working("late", lease_s=None))
    await present.after(700)
    await present.beat("late", holds_s=ABANDON_S)
    await present.after(ABANDON_S - 110)
    assert (present.told("quiet"), present.told("late")) == ([], [])
    await present.after(15)
    assert (present.told("quiet"), present.told("late")) == (["JobFailed"], [])


async def test_what_nobody_takes_up_expires(present: Present) -> None:
    """In the queue from the beginning, or for another attempt, from the time for that on."""
    retry = JobAttemptFailed(1, START, retry_at=START + timedelta(seconds=500))
    present.opened.do(replace(working("new"), holder=None), working("again"))
    present.opened.do(FailAttempt("again", retry))
    await present.after(1004)
    assert present.job("new").state == "started"
    await present.after(1)
    expired = present.events("new")[-1]
    assert isinstance(expired, JobFailed)
    assert expired.reason == "expired"
    assert present.job("again").state == "started"
    await present.after(500)
    assert present.told("again") == ["JobAttemptFailed", "JobFailed"]


async def test_a_group_that_nobody_seals_is_abandoned_if_nothing_happens_in_it(
    present: Present,
) -> None:
    said = replace(working().registered, ends="children", expect_children=3)
    present.opened.do(RegisterJob(ME, "g", "fan out", said))
    await present.after(ABANDON_S)
    present.opened.do(replace(working("child", "g"), end=DONE))
    await present.after(ABANDON_S)
    assert present.job("g").state == "started"
    await present.after(5)
    failed = present.events("g")[-1]
    assert isinstance(failed, JobFailed)
    assert (failed.reason, failed.error) == ("lost", "expected 3, saw 1")


async def test_a_group_is_not_abandoned_while_somebody_works_in_it(present: Present) -> None:
    said = replace(working().registered, ends="children")
    present.opened.do(RegisterJob(ME, "g", "fan out", said), working("child", "g", lease_s=None))
    await present.after(ABANDON_S + 5)
    assert present.told("g") == []
    present.opened.do(EndJob("child", 1, DONE))
    await present.after(ABANDON_S + 5)
    assert present.told("g") == ["ChildEnded", "JobFailed"]


async def test_a_sealed_group_waits_for_what_is_below_it(present: Present) -> None:
    present.opened.do(group("g"), working("child", "g"), SealJob(ME, "g"))
    assert present.lease("g") is None


async def test_a_deadline_asks_for_a_cancel_only_if_that_was_said(present: Present) -> None:
    """Once; that the job is overdue is shown in any case."""
    present.opened.do(working("shown", lease_s=1000))
    present.opened.do(working("asked", lease_s=1000, on_deadline="cancel"))
    present.opened.do(working("stubborn", lease_s=1000, on_deadline="cancel", cancellable=False))
    await present.after(599)
    assert present.told("asked") == []
    await present.after(1)
    await present.after(1)
    asked = present.events("asked")[-1]
    assert isinstance(asked, JobCancelRequested)
    assert present.told("asked") == ["JobCancelRequested"]
    assert (present.told("shown"), present.told("stubborn")) == ([], [])


async def test_a_lost_job_stays_while_somebody_works_below_it(present: Present) -> None:
    """Once nobody does, it is abandoned the next time that it is looked at."""
    present.opened.do(working("above"), working("below", "above"), working("elsewhere"))
    for _ in range(2):
        await present.after(LOST_S - 10)
        await present.beat("below")
    await present.after(LOST_S - 10)
    assert present.job("above").lost
    for _ in range(4):
        await present.beat("below")
        await present.after(LOST_S - 10)
    assert present.told("above") == ["JobAttemptLost"]
    present.opened.do(EndJob("below", 1, DONE))
    await present.after(ABANDON_S / 10 + 5)
    assert present.told("above") == ["JobAttemptLost", "JobFailed"]


async def test_a_lost_job_stays_however_many_work_elsewhere_in_its_tree(present: Present) -> None:
    """Whoever works below it is found among them."""
    present.opened.do(group("root"), working("above", "root"), working("below", "above"))
    await present.after(LOST_S)

    def let_many_work(cursor: Cursor) -> None:
        many = (Expect(f"a{nth}", "root", 1, "beat", 3600) for nth in range(1001))
        leases.apply(cursor, [*many, Expect("below", "root", 1, "beat", 3600)])

    present.ledger.exclusive(let_many_work).result()
    await present.after(ABANDON_S + 5)
    assert present.told("above") == ["JobAttemptLost"]


async def test_after_many_losses_they_are_in_the_row_only(present: Present) -> None:
    """From the tenth on; the row goes on to say so, and the job is abandoned all the same."""
    present.opened.do(working(lease_s=900))
    for _ in range(10):
        present.opened.do(LoseProducer("j", 1), ReturnAttempt("j", 1))
    before = present.told()
    await present.after(905)
    lost = present.lease()
    assert lost is not None
    assert (lost.awaits, present.told()) == ("return", before)
    assert (await present.beat()).renewed
    returned = present.lease()
    assert returned is not None
    assert (returned.awaits, present.told()) == ("beat", before)
    with pytest.raises(AttemptTaken):
        present.opened.do(TakeUpJob("j", 1, THERE))
    await present.after(905)
    await present.after(ABANDON_S + 5)
    assert present.told() == [*before, "JobFailed"]


async def test_who_is_lost_in_the_row_only_is_replaced_as_any_other(present: Present) -> None:
    present.opened.do(working(lease_s=900))
    for _ in range(10):
        present.opened.do(LoseProducer("j", 1), ReturnAttempt("j", 1))
    await present.after(905)
    present.opened.do(TakeUpJob("j", 1, THERE))
    assert present.job().attempt == 2


async def test_a_loss_that_meets_a_beat_changes_nothing(present: Present) -> None:
    """The beat came first: the lease is not over any more."""
    present.opened.do(working())
    present.pass_by(LOST_S)
    found = present.lease()
    assert found is not None
    await present.beat()
    present.opened.do(LoseProducer("j", 1, due=found.due))
    assert (present.told(), present.job().lost) == ([], False)


async def test_an_abandonment_that_meets_a_return_changes_nothing(present: Present) -> None:
    present.opened.do(working())
    await present.after(LOST_S)
    present.pass_by(ABANDON_S + 5)
    found = present.lease()
    assert found is not None
    await present.beat()
    present.opened.do(AbandonJob("j", 1, found.due))
    assert present.job().state == "started"


async def test_an_abandonment_that_meets_another_attempt_changes_nothing(
    present: Present,
) -> None:
    present.opened.do(working())
    await present.after(LOST_S)
    present.pass_by(ABANDON_S + 5)
    found = present.lease()
    assert found is not None
    present.opened.do(TakeUpJob("j", 1, THERE), AbandonJob("j", 1, found.due))
    assert (present.job().state, present.job().attempt) == ("started", 2)


async def test_a_start_finds_the_jobs_of_which_nothing_is_expected(present: Present) -> None:
    """Those that go on: they were restored without rows."""
    present.opened.do(working("gone"), working("there"), working("over"), EndJob("over", 1, DONE))

    def lose(cursor: Cursor) -> None:
        cursor.execute("DELETE FROM leases WHERE job = 'gone'")

    present.ledger.exclusive(lose).result()
    with present.opened.views.long_snapshot() as snapshot:
        assert snapshot.without_lease() == ["gone"]


async def test_rows_that_a_restored_ledger_left_are_corrected(present: Present) -> None:
    """A job that is over has none, and one that goes on is expected to do what the record says."""
    present.opened.do(working("over"), EndJob("over", 1, DONE), working("on"))
    row = present.lease("on")
    assert row is not None

    put_back_rows(present, over=("over",), on=("on",))
    await present.after(LOST_S)
    assert present.lease("over") is None
    assert (awaited(present, "on"), present.told("on")) == ("beat", [])


def put_back_rows(present: Present, *, over: Sequence[str], on: Sequence[str]) -> None:
    """Let rows say of jobs that are over that they are there, and of others that they are lost."""

    def put_back(cursor: Cursor) -> None:
        cursor.executemany(
            "UPDATE leases SET awaits = 'return' WHERE job = ?", [(job,) for job in on]
        )
        cursor.executemany(
            "INSERT INTO leases (job, root, attempt, awaits, due) VALUES (?, ?, 1, 'beat', 0)",
            [(job, job) for job in over],
        )

    present.ledger.exclusive(put_back).result()


def awaited(present: Present, job: str) -> str:
    lease = present.lease(job)
    assert lease is not None
    return lease.awaits


async def test_a_job_that_cannot_be_settled_keeps_no_other_from_it(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails: its decision, to ask it to stop, or to read what the record says of it."""
    present.opened.do(working("over"), EndJob("over", 1, DONE))
    present.opened.do(*map(working, ("undecided", "unread", "on", "silent")))
    present.opened.do(working("late", lease_s=None, on_deadline="cancel"))
    put_back_rows(present, over=("over",), on=("unread", "on"))
    execute, job = present.ledger.execute, present.ledger.job

    async def decide(command: LoseProducer, by: Caller) -> int:
        if command.job == "undecided":
            raise KeyError(command.job)
        return await execute(command, by)

    def read(uuid: str) -> Job | None:
        if uuid in ("unread", "late"):
            raise UnreadableStream(uuid, 1, "broken")
        return job(uuid)

    present.pass_by(601)
    with monkeypatch.context() as patch:
        patch.setattr(present.ledger, "execute", decide)
        patch.setattr(present.ledger, "job", read)
        with pytest.raises((KeyError, UnreadableStream)):
            await present.watch.look()
    assert (present.lease("over"), awaited(present, "on")) == (None, "beat")
    assert (awaited(present, "silent"), awaited(present, "unread")) == ("return", "return")
    await present.watch.look()
    assert (awaited(present, "undecided"), awaited(present, "unread")) == ("return", "beat")
    assert present.told("late") == ["JobCancelRequested"]


async def test_what_cannot_be_recorded_now_is_recorded_at_the_next_look(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is put off: a lease that is over stays so, and so does a deadline."""

    async def fail(*_: object) -> None:
        raise StoreUnreachable("away")

    present.opened.do(working(on_deadline="cancel"))
    await present.after(LOST_S)
    present.pass_by(max(ABANDON_S + 5, 600))
    with monkeypatch.context() as patch:
        patch.setattr(present.ledger, "execute", fail)
        await present.watch.look()
    await present.watch.look()
    assert present.told() == ["JobAttemptLost", "JobCancelRequested", "JobFailed"]
