"""Two nodes that find or say something of the same jobs at the same moment: one of them counts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.domain.commands import Command
from ledger.domain.errors import Refusal
from ledger.domain.errors.producers import ChildrenRunning
from ledger.domain.events.producers import JobAttemptFailed
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    LoseProducer,
    ReturnAttempt,
    TakeUpJob,
)
from ledger.domain.producers.leases import Lease
from ledger.leases.missing_leases import make_missing
from ledger.store.seam import Batch
from tests.ledger.leases.present import ABANDON_S, LOST_S, Clock, Present, working
from tests.support.opened import CALLER
from tests.support.opened_postgres import InPostgres
from tests.support.producing import DONE, THERE, group
from tests.support.world import START

JOBS = [f"j{nth}" for nth in range(12)]


@pytest.fixture
def nodes(ledger_database: str) -> Iterator[tuple[Present, Present]]:
    kind, clock = type("OpenedInPostgres", (InPostgres,), {"url": ledger_database}), Clock()
    with kind(Path("none"), now=clock) as one, kind(Path("none"), now=clock) as other:
        yield Present(one, clock), Present(other, clock)


def leases_of(node: Present) -> list[Lease]:
    found = [node.lease(job) for job in JOBS]
    return [lease for lease in found if lease is not None]


async def done(node: Present, command: Command) -> None:
    try:
        await node.ledger.execute(command, CALLER)
    except Refusal:
        return


def check_row(node: Present, job: str) -> None:
    """The row says what the record does."""
    lease = node.lease(job)
    if node.job(job).state != "started":
        assert lease is None
    else:
        assert lease is not None
        assert (lease.awaits == "return") == node.job(job).lost


async def test_both_find_a_loss_and_an_abandonment_and_one_records_it(
    nodes: tuple[Present, Present],
) -> None:
    one, other = nodes
    one.opened.do(*map(working, JOBS))
    for seconds in (LOST_S, ABANDON_S + 5):
        one.pass_by(seconds)
        await asyncio.gather(one.watch.look(), other.watch.look())
    assert [one.told(job) for job in JOBS] == [["JobAttemptLost", "JobFailed"]] * len(JOBS)


async def test_a_loss_meets_a_beat(nodes: tuple[Present, Present]) -> None:
    """Whichever comes first, an attempt that beat is not lost, and the row is as the record."""
    one, other = nodes
    one.opened.do(*map(working, JOBS))
    one.pass_by(LOST_S)
    found = leases_of(one)
    await asyncio.gather(
        *(done(one, LoseProducer(lease.job, 1, due=lease.due)) for lease in found),
        *(other.beat(lease.job) for lease in found),
    )
    for job in JOBS:
        assert not one.job(job).lost
        assert one.told(job) in ([], ["JobAttemptLost", "JobAttemptReturned"])
        check_row(one, job)


async def test_an_abandonment_meets_an_end(nodes: tuple[Present, Present]) -> None:
    """The job ends once, and how its producer says is recorded in any case."""
    one, other = nodes
    one.opened.do(*map(working, JOBS))
    await one.after(LOST_S)
    one.pass_by(ABANDON_S + 5)
    found = leases_of(one)
    await asyncio.gather(
        *(done(one, AbandonJob(lease.job, 1, lease.due)) for lease in found),
        *(done(other, EndJob(lease.job, 1, DONE)) for lease in found),
    )
    for job in JOBS:
        told = one.told(job)[1:]
        assert told in (["JobSucceeded"], ["JobFailed", "LateReportRecorded"])
        check_row(one, job)


async def test_a_take_up_meets_an_abandonment(nodes: tuple[Present, Present]) -> None:
    """Either the job has ended, or the new attempt works on it."""
    one, other = nodes
    one.opened.do(*map(working, JOBS))
    await one.after(LOST_S)
    one.pass_by(ABANDON_S + 5)
    found = leases_of(one)
    await asyncio.gather(
        *(done(one, AbandonJob(lease.job, 1, lease.due)) for lease in found),
        *(done(other, TakeUpJob(lease.job, 1, THERE)) for lease in found),
    )
    for job in JOBS:
        state = one.job(job)
        assert (state.state, state.attempt) in (("failed", 1), ("started", 2))
        check_row(one, job)


async def test_a_return_below_meets_the_abandonment_of_the_job_above(
    nodes: tuple[Present, Present], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was decided while nobody worked below, and is decided again."""
    one, other = nodes
    one.opened.do(working("j"), working("below", "j"))
    await one.after(LOST_S)
    one.pass_by(ABANDON_S + 5)
    (found,) = [lease for lease in [one.lease("j")] if lease is not None]
    append = one.opened.store.append
    returns = iter([ReturnAttempt("below", 1)])

    def append_after_the_return(batch: Batch) -> int:
        other.opened.do(*returns)
        return append(batch)

    monkeypatch.setattr(one.opened.store, "append", append_after_the_return)
    await done(one, AbandonJob("j", 1, found.due))
    assert not one.job("below").lost
    assert one.told("j") == ["JobAttemptLost"]
    check_row(one, "j")


async def test_a_registration_below_meets_the_abandonment_of_the_job_above(
    nodes: tuple[Present, Present], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far below."""
    one, other = nodes
    one.opened.do(working("j"), working("below", "j"))
    await one.after(LOST_S)
    one.pass_by(ABANDON_S + 5)
    (found,) = [lease for lease in [one.lease("j")] if lease is not None]
    append = one.opened.store.append
    begins = iter([working("far below", "below")])

    def append_after_the_registration(batch: Batch) -> int:
        other.opened.do(*begins)
        return append(batch)

    monkeypatch.setattr(one.opened.store, "append", append_after_the_registration)
    await done(one, AbandonJob("j", 1, found.due))
    assert one.told("j") == ["JobAttemptLost"]


async def test_a_take_up_below_meets_the_abandonment_of_the_job_above(
    nodes: tuple[Present, Present], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    one.opened.do(working("j"), working("below", "j"))
    one.opened.do(FailAttempt("below", JobAttemptFailed(1, START)))
    await one.after(LOST_S)
    one.pass_by(ABANDON_S + 5)
    (found,) = [lease for lease in [one.lease("j")] if lease is not None]
    append = one.opened.store.append
    begins = iter([TakeUpJob("below", 1, THERE)])

    def append_after_the_take_up(batch: Batch) -> int:
        other.opened.do(*begins)
        return append(batch)

    monkeypatch.setattr(one.opened.store, "append", append_after_the_take_up)
    await done(one, AbandonJob("j", 1, found.due))
    assert one.told("j") == ["JobAttemptLost"]


QUEUED = FailAttempt("below", JobAttemptFailed(1, START))
LOST = LoseProducer("below", 1)


@pytest.mark.parametrize(
    ("before", "meanwhile", "above"),
    [
        (QUEUED, TakeUpJob("below", 1, THERE), "group"),
        (QUEUED, TakeUpJob("below", 1, THERE, number=2), "group"),
        (LOST, ReturnAttempt("below", 1), "j"),
        (LOST, working("far below", "group"), "j"),
    ],
    ids=["taken up", "known to have been taken up", "returned", "registered"],
)
async def test_who_begins_to_work_below_meets_an_end_that_waits_for_nobody(
    nodes: tuple[Present, Present],
    monkeypatch: pytest.MonkeyPatch,
    before: Command,
    meanwhile: Command,
    above: str,
) -> None:
    """The end was decided while nobody worked below; decided again, it is refused."""
    one, other = nodes
    one.opened.do(working("j"), replace(group("group"), parent="j"), working("below", above))
    one.opened.do(before)
    append = one.opened.store.append
    begins = iter([meanwhile])

    def append_after_the_beginning(batch: Batch) -> int:
        other.opened.do(*begins)
        return append(batch)

    monkeypatch.setattr(one.opened.store, "append", append_after_the_beginning)
    with pytest.raises(ChildrenRunning):
        one.opened.do(EndJob("j", 1, DONE, alone=True))
    assert one.job("j").state == "started"


async def test_both_start_and_rows_that_are_missing_are_made_once(
    nodes: tuple[Present, Present],
) -> None:
    """As after a restore. They are fresh: nobody is lost who had no chance to report."""
    one, other = nodes
    one.opened.do(*map(working, JOBS))
    one.ledger.exclusive(lambda cursor: cursor.execute("DELETE FROM leases") and None).result()
    made = await asyncio.gather(
        *(asyncio.to_thread(make_missing, node.ledger, JOBS) for node in nodes)
    )
    assert sum(made) == len(JOBS)
    await other.after(LOST_S - 1)
    assert [one.job(job).lost for job in JOBS] == [False] * len(JOBS)
    await other.after(1)
    assert [one.job(job).lost for job in JOBS] == [True] * len(JOBS)
