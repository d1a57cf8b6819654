"""How long a job of a series is expected to take: as the last successes of it did."""

from datetime import timedelta

import pytest

from ledger.domain.events.jobs import JobSucceeded
from ledger.domain.events.producers import JobAttemptFailed
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    LoseProducer,
    RegisterJob,
    SealJob,
    TakeUpJob,
)
from projections.views.producers.series import Expected
from tests.retention.conftest import Clock, Nodes
from tests.support.producing import BROKEN, HERE, SKIPPED, THERE, registered, running
from tests.support.retained import Retained
from tests.support.world import ME, SOMEBODY_ELSE, START


@pytest.fixture(autouse=True)
def _later(clock: Clock) -> None:
    """By now, all has happened that the jobs of these tests tell of."""
    clock.advance(days=1)


def took(seconds: float) -> JobSucceeded:
    """A success, so long after `START`, when the jobs of these tests begin."""
    return JobSucceeded(START + timedelta(seconds=seconds))


def ran(kept: Retained, series: str, *seconds: float) -> None:
    for nth, each in enumerate(seconds):
        kept.do(running(f"{series}-{nth:02}", series=series, end=took(each)))


def expected(kept: Retained, *series: str) -> dict[str, Expected]:
    with kept.snapshot() as snapshot:
        return snapshot.expected(ME, series)


def test_a_job_is_expected_to_take_as_long_as_the_last_successes(nodes: Nodes) -> None:
    """Of the account's own series, whatever failed, was skipped or is older than the last 20."""
    one, two = nodes
    ran(one, "nightly", *[9_999] * 5, *range(1, 21))
    ran(one, "short", 0.25, 3)
    one.do(
        running("broken", series="short", end=BROKEN),
        running("skipped", series="short", end=SKIPPED),
        running("alone", end=took(7)),
        RegisterJob(
            SOMEBODY_ELSE, "theirs", "x", registered(series="short"), holder=HERE, end=took(77)
        ),
    )
    assert expected(two, "nightly", "short", "none", "short") == {
        "nightly": Expected(10, 18),
        "short": Expected(0.25, 3),
    }


def test_a_success_that_is_reported_late_counts_as_long_as_it_took(kept: Retained) -> None:
    """Not until it was reported."""
    kept.do(running("j", series="s"), LoseProducer("j", 1), AbandonJob("j", 1))
    assert expected(kept, "s") == {}
    kept.do(EndJob("j", 1, took(60)))
    assert expected(kept, "s") == {"s": Expected(60, 60)}


def test_only_the_attempt_that_succeeded_counts(kept: Retained) -> None:
    """Not the time in the queue, nor attempts that failed."""
    again = START + timedelta(seconds=100)
    kept.do(
        RegisterJob(ME, "j", "x", registered(series="s")),
        TakeUpJob("j", 0, HERE),
        FailAttempt("j", JobAttemptFailed(1, START)),
        TakeUpJob("j", 1, THERE, happened_at=again),
        EndJob("j", 2, took(105)),
    )
    assert expected(kept, "s") == {"s": Expected(5, 5)}


@pytest.mark.parametrize("seconds", [-5, 5])
def test_no_job_takes_less_than_no_time(kept: Retained, seconds: int) -> None:
    """Whatever its producer says of it."""
    ran(kept, "s", seconds)
    most = max(0, seconds)
    assert expected(kept, "s") == {"s": Expected(most, most)}


def test_a_group_takes_from_its_registration_to_its_end(kept: Retained) -> None:
    said = registered(series="s", ends="children")
    kept.do(RegisterJob(ME, "g", "x", said), running("below", "g", end=took(1)), SealJob(ME, "g"))
    group = kept.ledger.job("g")
    assert group is not None
    assert group.ended is not None
    [found] = expected(kept, "s").values()
    assert found.p50_s == pytest.approx((group.ended - START).total_seconds(), abs=0.002)


def test_an_index_finds_the_last_successes(kept: Retained) -> None:
    """However many jobs there are."""
    seen: list[str] = []
    with kept.snapshot() as snapshot:
        snapshot.cursor.connection.set_trace_callback(seen.append)  # type: ignore[attr-defined]
        snapshot.expected(ME, ["s"])
        [sql] = [each for each in seen if "took_ms" in each]
        snapshot.cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = " ".join(str(row[3]) for row in snapshot.cursor.fetchall())
    assert "SEARCH run USING INDEX runs_g1_success (owner=? AND series=?)" in plan
    assert "TEMP B-TREE" not in plan
