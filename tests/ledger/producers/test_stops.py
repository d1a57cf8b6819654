"""Whether a job is asked to stop follows from it and from the jobs above, however it is read."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.domain.context import Fact
from ledger.domain.events.jobs import ChildEnded, JobCancelled
from ledger.domain.events.producers import JobAttemptFailed, JobCancelRequested, JobSealed
from ledger.domain.producers.commands import (
    EndJob,
    FailAttempt,
    RegisterJob,
    RequestCancel,
    SettleJob,
    TakeUpJob,
)
from ledger.domain.producers.stops import Stop, asked_to_stop, earliest, outcome_of_stop
from projections.views.stops import stops_of, unattended_stops
from tests.support.deciding import given
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.producing import BROKEN, DONE, HERE, STOPPED, group, queued, running
from tests.support.world import ME, START

AboutJob = RegisterJob | RequestCancel | EndJob | FailAttempt
ASKED = RequestCancel(ME, "j", JobCancelRequested(60))
ALONE = RequestCancel(ME, "j", JobCancelRequested(60, cascade=False))
FAMILY = running(), running("child", "j"), running("grandchild", "child")
"""A job, one below it, and one below that."""

CASES: dict[str, tuple[tuple[AboutJob, ...], set[str]]] = {
    "nobody was asked": (FAMILY, set()),
    "all below a request": ((*FAMILY, ASKED), {"j", "child", "grandchild"}),
    "also who comes later": ((running(), ASKED, running("child", "j")), {"j", "child"}),
    "a request to one alone": ((*FAMILY, ALONE), {"j"}),
    "a request in the middle": (
        (*FAMILY, RequestCancel(ME, "child", ASKED.request)),
        {"child", "grandchild"},
    ),
    "below one that failed": ((*FAMILY, EndJob("j", 1, BROKEN)), {"child", "grandchild"}),
    "below one that was cancelled": ((*FAMILY, EndJob("j", 1, STOPPED)), {"child", "grandchild"}),
    "not below one that succeeded": ((*FAMILY, EndJob("j", 1, DONE)), set()),
    "one that cannot be cancelled is not asked, those below it are": (
        (
            running(),
            running("deaf", "j", cancellable=False),
            running("child", "deaf"),
            ASKED,
        ),
        {"j", "child"},
    ),
    "what had ended before was not asked": (
        (*FAMILY, EndJob("grandchild", 1, DONE), ASKED),
        {"j", "child"},
    ),
    "what ended afterwards was asked": (
        (*FAMILY, ASKED, EndJob("child", 1, STOPPED)),
        {"j", "child", "grandchild"},
    ),
    "a request outlives a return to the queue": (
        (running(), ASKED, FailAttempt("j", JobAttemptFailed(1, START))),
        {"j"},
    ),
}


@pytest.mark.parametrize(("history", "expected"), CASES.values(), ids=CASES)
def test_who_is_asked_to_stop(
    opened: Opened, history: tuple[AboutJob, ...], expected: set[str]
) -> None:
    """The rows say what the rule says, when, by whom and until when."""
    opened.do(*history)
    jobs = {command.job for command in history}
    by_rows = opened.ledger.read(lambda cursor: stops_of(cursor, sorted(jobs)))
    by_rule = {uuid: _asked(opened, uuid) for uuid in jobs}
    assert by_rows == {uuid: stop for uuid, stop in by_rule.items() if stop is not None}
    assert by_rows.keys() == expected


def _asked(opened: Opened, uuid: str) -> Stop | None:
    job = opened.ledger.job(uuid)
    assert job is not None
    return asked_to_stop(job, opened.ledger.job)


def stop(at_s: int = 0, grace_s: int = 60, by: str | None = ME) -> Stop:
    return Stop("j", START + timedelta(seconds=at_s), by, grace_s, itself=True, below=True)


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ([stop()], stop()),
        ([stop(10, by="x"), stop()], stop()),
        ([stop(10, 5, by="x"), stop()], stop(0, 15)),
        ([stop(0, 5), stop(10, 60)], stop(0, 5)),
        ([stop(31), stop(40)], None),
        ([stop(30), stop(31, 0)], stop(30)),
    ],
)
def test_who_asks_first_counts_and_the_earliest_end(
    stops: list[Stop], expected: Stop | None
) -> None:
    """What is asked of a job after its end does not."""
    assert earliest(stops, START + timedelta(seconds=30)) == expected


@pytest.mark.parametrize(
    ("ended", "reason", "lost", "after_s", "expected"),
    [
        (None, None, False, 59, None),
        (None, None, False, 60, "unanswered"),
        (None, None, True, 0, "unreachable"),
        ("cancelled", "requested", False, 0, "obeyed"),
        ("cancelled", "interrupted", False, 0, "obeyed"),
        ("cancelled", "forced", False, 0, "unanswered"),
        ("failed", "lost", False, 0, "unreachable"),
        ("failed", "program", False, 0, "finished_anyway"),
        ("succeeded", None, False, 0, "finished_anyway"),
    ],
)
def test_what_becomes_of_a_request(
    ended: str | None, reason: str | None, *, lost: bool, after_s: int, expected: str | None
) -> None:
    now = START + timedelta(seconds=after_s)
    assert outcome_of_stop(stop(), outcome=ended, reason=reason, lost=lost, now=now) == expected


# What nobody works on


def test_a_queued_job_below_a_request_is_ended() -> None:
    """Nobody would be told, so nobody would end it."""
    below = given(running(), queued("child", "j"))
    below.when(SettleJob("child")).then()
    asked = given(running(), queued("child", "j"), ASKED)
    asked.when(SettleJob("child")).then(Fact("job-child", JobCancelled("requested", START)))


def test_a_job_that_was_taken_up_meanwhile_is_left_to_its_producer() -> None:
    taken = given(running(), queued("child", "j"), ASKED, TakeUpJob("child", 0, HERE))
    taken.when(SettleJob("child")).then()
    given(running(), ASKED).when(SettleJob("j")).then()


def test_a_job_that_was_asked_before_its_attempt_failed_is_ended() -> None:
    failed = given(running(), ASKED, FailAttempt("j", JobAttemptFailed(1, START)))
    failed.when(SettleJob("j")).then(Fact("job-j", JobCancelled("requested", START)))


def test_a_group_below_a_request_is_asked_and_sealed() -> None:
    """Its own stream says then why sub-jobs are missing: they count as cancelled."""
    asked = given(running(), group("g", "j", expect=3), running("a", "g", end=DONE), ASKED)
    asked.when(SettleJob("g")).then(
        Fact("job-g", ASKED.request),
        Fact("job-g", JobSealed()),
        Fact("job-g", JobCancelled("requested", START)),
    )


def test_a_group_waits_for_what_runs_below_it() -> None:
    asked = group("g", "j"), running("a", "g"), queued("b", "g"), ASKED, SettleJob("g")
    sealed = given(running(), asked)
    sealed.when(SettleJob("g")).then()
    sealed.when(SettleJob("b")).then(
        Fact("job-b", JobCancelled("requested", START)), Fact("job-g", ChildEnded("b", "cancelled"))
    )


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """A ledger in one of the two stores."""
    if request.param == "postgres":
        opened = in_postgres(request.getfixturevalue("ledger_database"))
    else:
        opened = Opened(tmp_path / "ledger.sqlite")
    with opened:
        yield opened


def test_what_nobody_works_on_is_found_as_long_as_it_is_there(either: Opened) -> None:
    """A registration may be recorded after the request was."""
    opened = either

    def found(limit: int = 10) -> list[str]:
        return opened.ledger.read(lambda cursor: unattended_stops(cursor, limit))

    opened.do(running(), queued("early", "j"), queued("elsewhere"), running("works", "j"))
    assert found() == []
    opened.do(ASKED)
    assert found() == ["early"]
    asked = opened.ledger.read(lambda cursor: stops_of(cursor, ["j", "works", "elsewhere"]))
    assert asked == {uuid: _asked(opened, uuid) for uuid in ("j", "works")}
    opened.do(group("late", "j"), queued("later", "late"))
    assert found() == ["early", "late", "later"]
    assert found(2) == ["early", "late"]
    opened.do(*map(SettleJob, found()))
    assert found() == []
    opened.do(FailAttempt("works", JobAttemptFailed(1, START)))
    assert found() == ["works"]
    opened.do(EndJob("j", 1, replace(DONE, stops_below=True)), SettleJob("works"))
    assert found() == []
