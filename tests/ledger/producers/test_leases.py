"""What is expected of a job next, and that its row says so from its first event to its end."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.context import Fact
from ledger.domain.events.jobs import JobAttemptLost, JobCreated, job_stream
from ledger.domain.events.producers import JobAttemptFailed, JobAttemptReturned
from ledger.domain.producers.commands import (
    AbandonJob,
    FailAttempt,
    LoseProducer,
    RegisterJob,
    ReturnAttempt,
    SealJob,
)
from ledger.domain.producers.leases import Awaited, Expect, Forget, expected, lease_of
from ledger.domain.producers.limits import limits
from ledger.store.tables import leases
from tests.support.deciding import History, given
from tests.support.opened import Opened
from tests.support.producing import HERE, PRODUCED, group, queued, registered, running
from tests.support.world import ME, START

WEEK_S = 7 * 86_400


@dataclass
class Case:
    history: History
    awaits: Awaited
    within_s: float


def job_after(history: History, uuid: str = "j") -> Job:
    job = given(history).world.job(uuid)
    assert job is not None
    return job


def change_of(job: Job) -> Expect | Forget:
    assert job.produced is not None
    return expected(job, job.produced, START)


WITHOUT_LEASE = replace(registered(), limits=limits(lease_s=None))
RETRY = JobAttemptFailed(1, START, retry_at=START + timedelta(hours=1))


@pytest.mark.parametrize(
    "case",
    [
        Case(queued(), "start", WEEK_S),
        Case(running(), "beat", 90),
        Case((running(), LoseProducer("j", 1)), "return", WEEK_S),
        Case((running(), LoseProducer("j", 1), ReturnAttempt("j", 1)), "beat", 90),
        Case((running(), FailAttempt("j", RETRY)), "start", WEEK_S + 3600),
        Case(group("j"), "seal", WEEK_S),
        Case(RegisterJob(ME, "j", "x", WITHOUT_LEASE, None, HERE), "end", 86_400 + WEEK_S),
    ],
    ids=["queued", "runs", "lost", "returned", "retry", "group", "no lease"],
)
def test_what_is_expected(case: Case) -> None:
    """And for how long it is waited for."""
    change = change_of(job_after(case.history))
    assert isinstance(change, Expect)
    assert (change.awaits, change.within_s) == (case.awaits, case.within_s)


@pytest.mark.parametrize(
    "history",
    [
        (running(), LoseProducer("j", 1), AbandonJob("j", 1)),
        (group("j"), running("child", "j"), SealJob(ME, "j")),
    ],
    ids=["over", "sealed"],
)
def test_nothing_is_expected(history: History) -> None:
    """Of a job that is over, and of a group that ends with what is below it."""
    assert change_of(job_after(history)) == Forget("j")


def test_an_attempt_that_often_returns_gets_twice_its_lease() -> None:
    """From the third time on, up to a quarter of an hour."""
    lost_and_back = [
        [Fact(job_stream("j"), JobAttemptLost(1)), Fact(job_stream("j"), JobAttemptReturned(1))]
    ]
    for returns, lease_s, so_long in [(2, 90, 90), (3, 90, 180), (3, 600, 900), (3, 3600, 3600)]:
        said = replace(registered(), limits=limits(lease_s=lease_s))
        history = (RegisterJob(ME, "j", "x", said, None, HERE), lost_and_back * returns)
        produced = job_after(history).produced
        assert produced is not None
        assert lease_of(produced) == so_long


def test_a_row_is_there_as_long_as_something_is_expected(tmp_path: Path) -> None:
    """After each command the rows are those that follow from the record."""
    jobs: set[str] = set()
    with Opened(tmp_path / "ledger.sqlite") as opened:
        for command in PRODUCED:
            opened.do(command)
            if isinstance(command, RegisterJob):
                jobs.add(command.job)
            changes = {uuid: change_of(_job(opened, uuid)) for uuid in jobs}
            rows = opened.ledger.read(lambda cursor: leases.find_many(cursor, sorted(jobs)))
            assert {uuid: (row.attempt, row.awaits) for uuid, row in rows.items()} == {
                uuid: (change.attempt, change.awaits)
                for uuid, change in changes.items()
                if isinstance(change, Expect)
            }


def _job(opened: Opened, uuid: str) -> Job:
    job = opened.ledger.job(uuid)
    assert job is not None
    return job


def test_jobs_of_this_service_have_no_rows(tmp_path: Path) -> None:
    """Their workers report to it in another way."""
    created = Fact(job_stream("x"), JobCreated("x", ME, (), "x", None, 0))
    assert job_after(created, "x").produced is None
    with Opened(tmp_path / "ledger.sqlite") as opened:
        assert not opened.ledger.read(leases.some_are_there)
