"""What reports change, and what their producers are told."""

from datetime import timedelta
from typing import Any

import pytest

from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.errors.producers import (
    AttemptOver,
    AttemptReplaced,
    AttemptTaken,
    JobForced,
    NobodyWorks,
)
from ledger.domain.errors.store import StoreUnreachable
from ledger.domain.events.jobs import JobCancelled
from ledger.domain.events.producers import (
    JobAttemptFailed,
    JobCancelRequested,
    Phase,
    ProgressReported,
)
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    ForceEnd,
    LoseProducer,
    RemoveTexts,
    RequestCancel,
    TakeUpJob,
)
from ledger.domain.producers.texts import MESSAGE, text_of
from ledger.leases.figures import Waiting
from ledger.leases.held_beats import Written
from ledger.leases.known_jobs import KnownJobs
from ledger.store.tables import texts
from ledger.store.tables.leases import Renewal
from tests.ledger.leases.present import LEASE_S, LOST_S, Node, Present, says, working
from tests.support.opened import CALLER
from tests.support.producing import DONE, HERE, THERE, queued
from tests.support.wait import wait_until
from tests.support.world import ME, START


def reported(present: Present) -> list[ProgressReported]:
    return [event for event in present.events() if isinstance(event, ProgressReported)]


async def test_a_heartbeat_appends_nothing(present: Present, node: Node) -> None:
    position = present.opened.do(working())
    for _ in range(3):
        answer = await node.report(attempt=1)
        assert (answer.accepted, answer.recorded, answer.attempt) == (True, False, 1)
        assert (answer.expires_in_s, answer.report_every_s) == (LEASE_S, 1)
        present.clock.advance(30)
    assert present.ledger.position == position


async def test_a_beat_is_held_only_if_it_comes_by_the_due_time_that_its_node_has_written(
    present: Present, node: Node
) -> None:
    """Any other is in the store before it is answered, so that a loss is noticed."""
    present.opened.do(working())
    await node.report()
    assert present.written_s() == 0
    present.pass_by(LEASE_S - 1)
    await node.report()
    assert present.written_s() == 0
    await node.beats.flush()
    assert present.written_s() == LEASE_S - 1
    present.pass_by(LEASE_S + 1)
    await node.report()
    assert present.written_s() == 2 * LEASE_S


async def test_a_node_that_cannot_write_holds_nothing(
    present: Present, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what it held, nor what comes before it can write again."""

    async def fail(_: object) -> None:
        present.clock.advance(1)
        raise StoreUnreachable("away")

    present.opened.do(working())
    await node.report()
    assert node.beats.may_hold("j", 1)
    await node.report()
    with monkeypatch.context() as patch:
        patch.setattr(present.ledger, "write", fail)
        with pytest.raises(StoreUnreachable):
            await node.beats.flush()
        assert not node.beats.may_hold("j", 1)
        with pytest.raises(StoreUnreachable):
            await node.report()
    assert (await node.report()).accepted
    assert node.beats.may_hold("j", 1)


async def test_what_could_not_be_written_for_a_moment_is_written(
    present: Present, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node was alone in the store; its work goes on in slices."""
    write, fails = present.ledger.write, iter([True])

    async def fail_once(work: Any) -> Any:
        if next(fails, False):
            raise StoreUnreachable("busy")
        return await write(work)

    present.opened.do(working())
    present.clock.advance(5)
    monkeypatch.setattr(present.ledger, "write", fail_once)
    assert (await node.report()).accepted
    assert present.written_s() == 5


async def test_no_beat_is_held_while_older_ones_have_waited_for_two_seconds(
    present: Present, node: Node
) -> None:
    present.opened.do(working())
    await node.report()
    await node.report()
    present.clock.advance(2)
    assert node.beats.may_hold("j", 1)
    present.clock.advance(0.5)
    assert not node.beats.may_hold("j", 1)


async def test_a_report_is_an_event_if_it_shows_something_new(present: Present, node: Node) -> None:
    """Not more often than once a second; what is no event is shown until the next report."""
    present.opened.do(working())
    present.clock.advance(1)
    assert (await node.report(said=says(done=10, total=100))).recorded
    assert not (await node.report(said=says(done=20, total=100))).recorded
    present.clock.advance(1)
    assert (await node.report(said=says(done=30, total=100))).recorded
    present.clock.advance(1)
    await node.hears(lambda job: job.produced and job.produced.reports == 2)
    assert not (await node.report(said=says(done=30, total=100))).recorded
    assert [event.percent for event in reported(present)] == [10, 30]
    live = (node.live()).figures
    assert live is not None
    assert (live.report.done, live.report.percent) == (30, 30)


async def test_the_last_figures_are_an_event_before_the_end(present: Present, node: Node) -> None:
    """Whichever node has heard of them; once."""
    present.opened.do(working())
    await node.report(said=says(done=10, total=100))
    await node.report(said=says(done=20, total=100))
    await node.beats.flush()
    other = Node(present)
    for _ in range(2):
        await other.reporting.record_last("j", CALLER)
        await other.hears(lambda job: job.progress == 20)
    assert [event.done for event in reported(present)] == [20]


async def test_the_last_message_is_an_event_before_the_end(present: Present, node: Node) -> None:
    """Also if the figures stayed as they were; its words are kept."""
    present.opened.do(working())
    present.clock.advance(1)
    text, words = text_of("photos/2019", b"salt")
    said = says(done=10, total=100, message=text)
    await node.report(said=said, message="photos/2019", words=(words,))
    later = START + timedelta(seconds=1)
    await node.report(said=says(later, done=10, total=100), message="photos/2020")
    for _ in range(2):
        await node.reporting.record_last("j", CALLER)
        await node.hears(lambda job: job.produced and job.produced.reports == 2)
    assert [event.done for event in reported(present)] == [10, 10]
    kept = present.ledger.read(lambda cursor: texts.read(cursor, ["j"]))
    assert kept["j"][MESSAGE] == "photos/2020"


async def test_the_newest_words_are_an_event_before_an_end_through_a_node_that_knows_older_ones(
    present: Present, node: Node
) -> None:
    """They are in the lease, and are there to be read once it is gone."""
    await say_more_elsewhere(present, node)
    await node.reporting.record_last("j", CALLER)
    present.opened.do(EndJob("j", 1, DONE))
    kept = present.ledger.read(lambda cursor: texts.read(cursor, ["j"]))
    assert kept["j"][MESSAGE] == "two"


async def test_words_that_were_removed_are_no_event_before_the_end(
    present: Present, node: Node
) -> None:
    """Also if the lease still has them, as another node held a beat with them."""
    await say_more_elsewhere(present, node)
    await node.reporting.drop_words("j")
    await node.reporting.record_last("j", CALLER)
    kept = present.ledger.read(lambda cursor: texts.read(cursor, ["j"]))
    assert MESSAGE not in kept.get("j", {})


async def say_more_elsewhere(present: Present, node: Node) -> None:
    """Report through this node, and a second later through another, which writes it."""
    present.opened.do(working())
    await node.report(said=says(done=10, total=100), message="one")
    later = START + timedelta(seconds=1)
    async with Node(present) as other:
        await other.report(said=says(later, done=10, total=100), message="two")
        await other.beats.flush()


async def test_what_a_report_does_not_say_stays(present: Present, node: Node) -> None:
    """A phase or a message alone does not take the figures away, nor does a heartbeat."""
    present.opened.do(working())
    await node.report(said=says(done=10, total=100), message="one")
    await node.report(said=says(phase=Phase("scan")))
    await node.report()
    live = (node.live()).figures
    assert live is not None
    assert (live.report.done, live.report.phase, live.message) == (10, Phase("scan"), "one")


async def test_another_node_shows_what_is_no_event(present: Present, node: Node) -> None:
    """It reads it in the lease."""
    present.opened.do(working())
    await node.report(said=says(done=10, total=100), message="photos")
    await node.report(said=says(done=11, total=100))
    await node.beats.flush()
    live = (Node(present).live()).figures
    assert live is not None
    assert (live.report.done, live.message) == (11, "photos")


async def test_words_that_are_removed_are_shown_no_more(present: Present, node: Node) -> None:
    """Neither by the node that has heard them, nor by others."""
    present.opened.do(working())
    present.clock.advance(1)
    text, words = text_of("secret", b"salt")
    said = says(done=10, total=100, message=text)
    await node.report(said=said, message="secret", words=(words,))
    await node.beats.flush()
    present.opened.do(RemoveTexts(ME, "j"))
    for each in (node, Node(present)):
        await wait_until("the words are gone", lambda each=each: not message_of(each))


async def test_words_that_are_removed_while_a_report_is_recorded_do_not_come_back(
    present: Present, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = present.ledger.execute

    async def after_the_removal(command: Any, by: Any) -> int:
        await execute(RemoveTexts(ME, "j"), CALLER)
        return await execute(command, by)

    present.opened.do(working())
    present.clock.advance(1)
    text, words = text_of("secret", b"salt")
    said = says(done=10, total=100, message=text)
    await node.report(said=said, message="secret", words=(words,))
    await node.beats.flush()
    present.clock.advance(2)
    monkeypatch.setattr(present.ledger, "execute", after_the_removal)
    assert (await node.report(said=says(present.clock(), done=50, total=100))).recorded
    await node.beats.flush()
    for each in (node, Node(present)):
        live = each.live().figures
        assert live is not None
        assert (live.report.done, live.message) == (50, None)


async def test_words_that_were_held_by_another_node_go_with_the_next_beat(
    present: Present, node: Node
) -> None:
    present.opened.do(working(title=text_of("photos", b"salt")[0]))
    await node.report()
    await node.report(said=says(done=10, total=100), message="secret")
    present.opened.do(RemoveTexts(ME, "j"))
    await node.beats.flush()
    await wait_until("it hears of that", lambda: not message_of(node))
    await node.report()
    await node.beats.flush()
    assert message_of(Node(present)) is None


def message_of(node: Node) -> str | None:
    figures = node.live().figures
    return None if figures is None else figures.message


async def test_reports_that_come_too_often_are_shown_but_no_events(
    present: Present, node: Node
) -> None:
    """They are not refused; the producer is told to report more seldom."""
    present.opened.do(working())
    for nth in range(20):
        assert (await node.report(said=says(done=nth, total=100))).report_every_s == 1
    answer = await node.report(said=says(done=50, total=100))
    assert (answer.accepted, answer.recorded, answer.report_every_s) == (True, False, 5)
    live = (node.live()).figures
    assert live is not None
    assert live.report.done == 50
    present.clock.advance(1)
    assert (await node.report(said=says(done=51, total=100))).recorded


async def test_numbers_order_reports(present: Present, node: Node) -> None:
    """One that is not newer is told so and changes nothing, live and buffered ones apart."""
    present.opened.do(working())
    await node.report(said=says(done=10, total=100), seq=7)
    for seq in (7, 3):
        assert (await node.report(said=says(done=99, total=100), seq=seq)).duplicate
    assert not (await node.report(said=says(done=1, total=100), seq=3, buffered=True)).duplicate
    assert (await node.report(said=says(done=1, total=100), seq=3, buffered=True)).duplicate
    assert not (await node.report(said=says(done=11, total=100))).duplicate
    await node.beats.flush()
    async with Node(present) as other:
        assert (await other.report(seq=7)).duplicate
        assert (await other.report(seq=3, buffered=True)).duplicate


async def test_a_repeated_report_is_a_sign_of_life_all_the_same(
    present: Present, node: Node
) -> None:
    """A process may have begun to count anew. What came before still counts as the newest."""
    present.opened.do(working())
    await node.report(seq=7)
    present.pass_by(LEASE_S - 1)
    assert (await node.report(seq=1)).duplicate
    await node.beats.flush()
    await present.after(LOST_S - 1)
    assert present.told() == []
    assert (await node.report(seq=6)).duplicate


async def test_a_report_that_was_not_answered_counts_when_it_is_said_again(
    present: Present, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is lost, although it has the same number."""

    async def fail(*_: object) -> None:
        raise StoreUnreachable("away")

    present.opened.do(working())
    present.clock.advance(5)
    said = says(done=10, total=100)
    with monkeypatch.context() as patch:
        patch.setattr(present.ledger, "execute", fail)
        with pytest.raises(StoreUnreachable):
            await node.report(said=said, seq=1)
    answer = await node.report(said=said, seq=1)
    assert not answer.duplicate
    assert (node.live().heard, present.written_s()) == (present.clock(), 5)
    live = node.live().figures
    assert live is not None
    assert live.report.done == 10


async def test_a_refused_report_takes_nothing_back_that_another_has_said(
    present: Present, node: Node
) -> None:
    """The job is read anew, but what was said may only be in memory."""
    present.opened.do(working())
    await node.report(said=says(done=1, total=1000), seq=7)
    await node.report(said=says(done=2, total=1000), seq=8)
    with pytest.raises(AttemptTaken):
        await node.report(attempt=2, holder=None)
    figures = node.live().figures
    assert figures is not None
    assert figures.report.done == 2
    assert (await node.report(said=says(done=1, total=1000), seq=8)).duplicate


async def test_what_an_attempt_waits_for_is_not_over_by_an_older_report(
    present: Present, node: Node
) -> None:
    present.opened.do(working())
    waiting = Waiting("approval", present.clock() + timedelta(hours=1), present.clock())
    await node.report(waiting=waiting, seq=7)
    assert (await node.report(seq=6)).duplicate
    await node.beats.flush()
    await present.after(3600)
    assert (present.told(), node.live().waiting) == ([], waiting)


async def test_a_report_that_meets_the_end_or_a_failure_is_not_accepted(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process has not heard of it: it reads the job if the beat renews nothing."""
    monkeypatch.setattr(KnownJobs, "notice", lambda *_: None)
    async with Node(present) as node:
        present.opened.do(working("j"), working("k"), working("l"), queued("m"))
        for uuid in ("j", "k", "l"):
            await node.report(uuid)
            node.beats.forget(uuid)  # the next beat is written before its answer
        with pytest.raises(NobodyWorks):
            await node.report("m")
        lost = [
            LoseProducer("j", 1),
            AbandonJob("j", 1),
            FailAttempt("k", JobAttemptFailed(1, START)),
        ]
        present.opened.do(*lost, LoseProducer("l", 1), TakeUpJob("m", 0, HERE))
        assert (await node.report("j")).over == "failed"
        with pytest.raises(AttemptOver):
            await node.report("k")
        assert (await node.report("m", attempt=1)).accepted


async def test_a_return_that_cannot_be_recorded_is_not_accepted(
    present: Present, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnreachable("away")

    present.opened.do(working())
    await present.after(LOST_S)
    with monkeypatch.context() as patch:
        patch.setattr(present.ledger, "execute", fail)
        with pytest.raises(StoreUnreachable):
            await node.report()
    assert present.job().lost
    assert (await node.report()).accepted
    assert not present.job().lost


async def test_a_node_that_has_heard_less_changes_no_figures(present: Present, node: Node) -> None:
    """A beat through it says nothing of them, nor does it know the last ones at the end."""
    present.opened.do(working())
    await node.report(said=says(START, done=10, total=100))
    await node.beats.flush()
    async with Node(present) as other:
        later = START + timedelta(seconds=2)
        present.clock.advance(2)
        assert (await other.report(said=says(later, done=50, total=100))).recorded
        await other.beats.flush()
        await node.hears(lambda job: job.progress == 50)
        await node.report()
        await node.beats.flush()
        for each in (node, other, Node(present)):
            live = each.live().figures
            assert live is not None
            assert live.report.done == 50
        await node.reporting.record_last("j", CALLER)
    assert [event.done for event in reported(present)] == [50]


async def test_what_was_buffered_is_recorded_but_not_shown_if_it_is_older(
    present: Present, node: Node
) -> None:
    present.opened.do(working())
    present.clock.advance(60)
    await node.report(said=says(present.clock(), done=50, total=100), seq=9)
    present.clock.advance(60)
    before = START + timedelta(seconds=30)
    said = says(before, done=20, total=100)
    assert (await node.report(said=said, seq=4, buffered=True)).recorded
    late = reported(present)[-1]
    assert (late.done, late.stale, late.happened_at) == (20, True, before)
    live = (node.live()).figures
    assert live is not None
    assert live.report.done == 50
    produced = present.job().produced
    assert produced is not None
    assert produced.shown == 50


async def test_an_hour_that_is_told_at_once_is_recorded_as_it_was(
    present: Present, node: Node
) -> None:
    """Whatever changed in it. What was said within a second is shown, and recorded at the end."""
    present.opened.do(working())
    hour = [START + timedelta(minutes=minute) for minute in range(60)]
    present.clock.advance(2 * 60 * 60)
    for nth, at in enumerate(hour):
        for after_s in (0, 2):
            said = says(at + timedelta(seconds=after_s), done=nth, total=60)
            await node.report(said=said, seq=2 * nth + after_s // 2, buffered=True)
    end = hour[-1] + timedelta(seconds=30)
    await node.report(said=says(end, done=60, total=60), seq=120, buffered=True)
    last = end + timedelta(seconds=0.5)
    message, words = text_of("nearly", b"0123456789abcdef")
    await node.report(
        said=says(last, done=60, total=60, phase=Phase("tidy"), message=message),
        message="nearly",
        words=(words,),
        seq=121,
        buffered=True,
    )
    assert [event.happened_at for event in reported(present)] == [*hour, end]
    assert not any(event.stale for event in reported(present))
    await node.beats.flush()
    for each in (node, Node(present)):
        figures = (await each.known.find("j")).figures
        assert figures is not None
        assert (figures.report.phase, figures.message) == (Phase("tidy"), "nearly")
    await node.reporting.record_last("j", CALLER)
    assert reported(present)[-1].happened_at == last


async def test_what_was_buffered_is_no_sign_of_life(present: Present, node: Node) -> None:
    """It renews nothing, takes no loss back, and is not told of a request."""
    present.opened.do(working())
    await present.after(LOST_S)
    present.opened.do(RequestCancel(ME, "j", JobCancelRequested(60)))
    lease = present.lease()
    assert lease is not None
    answer = await node.report(said=says(done=20, total=100), seq=4, buffered=True)
    await node.beats.flush()
    after = present.lease()
    assert after is not None
    assert (present.job().lost, after.due, answer.stop) == (True, lease.due, None)


async def test_a_report_takes_a_loss_back(present: Present, node: Node) -> None:
    present.opened.do(working())
    await node.report(said=says(done=1, total=100))
    await present.after(LOST_S)
    answer = await node.report(said=says(done=20, total=100))
    assert (answer.accepted, answer.recorded) == (True, True)
    assert present.told() == ["JobAttemptLost", "JobAttemptReturned", "ProgressReported"]
    lease = present.lease()
    assert lease is not None
    assert lease.awaits == "beat"


async def test_what_takes_a_loss_back_is_shown_before_it_is_written(
    present: Present, node: Node
) -> None:
    """Also if its row has heard of the return later than the report came, as clocks go on."""
    present.opened.do(working())
    await present.after(LOST_S)
    write = node.beats.write

    async def write_later(renewal: Renewal) -> Written:
        present.clock.advance(1)
        return await write(renewal)

    node.beats.write = write_later  # type: ignore[method-assign]
    await node.report(said=says(done=20))
    assert node.live().figures is not None


async def test_a_request_to_stop_is_in_the_answer(present: Present, node: Node) -> None:
    """That of a job above, too; once the producer has seen it, that is recorded."""
    present.opened.do(working("above"), working("j", "above"))
    assert (await node.report()).stop is None
    present.opened.do(RequestCancel(ME, "above", JobCancelRequested(60)))
    await node.hears(lambda job: job.produced and job.produced.cancel, "above")
    for _ in range(2):
        stop = (await node.report(cancel_seen=True)).stop
        assert stop is not None
        assert (stop.job, stop.by, stop.grace_s) == ("above", ME, 60)
    assert present.told() == ["JobCancelSeen"]


async def test_a_replaced_attempt_is_told_to_stop(present: Present, node: Node) -> None:
    """Also once the job is over."""
    present.opened.do(working())
    assert (await node.report(attempt=1)).accepted
    present.opened.do(TakeUpJob("j", 1, THERE, replaces=True))
    await node.hears(lambda job: job.attempt == 2)
    with pytest.raises(AttemptReplaced):
        await node.report(attempt=1)
    assert (await node.report(attempt=2)).accepted
    present.opened.do(EndJob("j", 2, DONE))
    await node.hears(lambda job: job.ended is not None)
    with pytest.raises(AttemptReplaced):
        await node.report(attempt=1)


async def test_a_report_after_the_end_is_no_error(present: Present, node: Node) -> None:
    """It says how the job has ended, and changes nothing."""
    present.opened.do(working())
    assert (await node.report()).accepted
    position = present.opened.do(EndJob("j", 1, DONE))
    await node.hears(lambda job: job.ended is not None)
    answer = await node.report(said=says(done=99, total=100))
    assert (answer.accepted, answer.over, answer.attempt) == (False, "succeeded", 1)
    assert (present.ledger.position, present.lease()) == (position, None)


async def test_jobs_that_are_over_are_forgotten(present: Present, node: Node) -> None:
    """Or a node would fill its memory with them; who still asks is answered from the store."""
    present.opened.do(working("over"), working())
    for uuid in ("over", "j"):
        await node.report(uuid)
    present.opened.do(EndJob("over", 1, DONE))

    async def is_forgotten() -> bool:
        await node.report()
        return node.known.get("over") is None

    await wait_until("the node forgets it", is_forgotten)
    assert (await node.report("over")).over == "succeeded"


async def test_after_a_forced_end_the_producer_must_stop(present: Present, node: Node) -> None:
    present.opened.do(working(), RequestCancel(ME, "j", JobCancelRequested(0)), ForceEnd(ME, "j"))
    assert isinstance(present.events()[-1], JobCancelled)
    with pytest.raises(JobForced):
        await node.report()


async def test_an_attempt_that_the_ledger_does_not_know_goes_on(
    present: Present, node: Node
) -> None:
    """The ledger was restored, and its token says that it is the third."""
    present.opened.do(working())
    answer = await node.report(attempt=3, holder=THERE, said=says(done=1, total=100))
    assert (answer.accepted, answer.attempt) == (True, 3)
    job, lease = present.job(), present.lease()
    assert lease is not None
    assert (job.attempt, lease.attempt, lease.instance) == (3, 3, THERE.instance)
    with pytest.raises(AttemptReplaced):
        await node.report(attempt=1, holder=HERE)
    with pytest.raises(AttemptTaken):
        await node.report(attempt=4, holder=None)


async def test_nobody_reports_on_a_job_in_the_queue(present: Present, node: Node) -> None:
    """Before its first attempt, and after one that has failed."""
    present.opened.do(queued("new"), working(), FailAttempt("j", JobAttemptFailed(1, START)))
    for uuid, refusal in (("new", NobodyWorks), ("j", AttemptOver)):
        with pytest.raises(refusal):
            await node.report(uuid)


async def test_a_job_of_another_account_is_unknown(present: Present, node: Node) -> None:
    present.opened.do(working())
    report = node.report("nothing")
    with pytest.raises(JobNotFound):
        await report


async def test_no_beat_is_expected_while_an_attempt_waits(present: Present, node: Node) -> None:
    """It is written before it is answered, and over with the next report."""
    present.opened.do(working())
    await node.report()
    waiting = Waiting("approval", present.clock() + timedelta(hours=1), present.clock())
    answer = await node.report(waiting=waiting)
    assert answer.expires_in_s is not None
    assert round(answer.expires_in_s) == 3600 + LEASE_S
    assert (node.live()).waiting == waiting
    await present.after(3600 + LEASE_S)
    assert present.told() == []
    await node.report()
    await node.beats.flush()
    assert (node.live()).waiting is None
    await present.after(LOST_S)
    assert present.told() == ["JobAttemptLost"]
