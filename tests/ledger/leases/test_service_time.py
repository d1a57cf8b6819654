"""Each transaction goes by the service time of its own moment, and changes rows that it knows."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.producers.commands import AbandonJob, EndJob, LoseProducer, TakeUpJob
from ledger.domain.producers.leases import Expect
from ledger.leases.missing_leases import make_missing
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from tests.ledger.leases.present import LEASE_S, LOST_S, Present, beat, working
from tests.support.producing import DONE, THERE

T = TypeVar("T")

STEP_S = 2
"""Less than may pass between two looks at the clock: all of it counts."""


def left_s(present: Present, job: str = "j") -> float:
    """Return how long the lease of the job still holds, by the service time of now."""

    def read(cursor: Cursor) -> int:
        leases.be_there(cursor, present.ledger.clock_parameter())
        return leases.service_now(cursor)

    lease = present.lease(job)
    assert lease is not None
    return timedelta(microseconds=lease.due - present.ledger.exclusive(read).result()) / timedelta(
        seconds=1
    )


async def test_who_looks_counts_the_time_up_to_now(present: Present) -> None:
    present.opened.do(working())
    present.pass_by(LOST_S - STEP_S)
    present.clock.advance(STEP_S)
    await present.watch.look()
    assert present.job().lost


async def test_a_beat_holds_from_when_it_is_written(present: Present) -> None:
    present.opened.do(working())
    present.clock.advance(STEP_S)
    await present.beat()
    assert left_s(present) == LEASE_S


def restored(present: Present) -> None:
    """Let the row say that the attempt is lost, and of the record that it goes on."""
    present.opened.do(working())

    def put_back(cursor: Cursor) -> None:
        cursor.execute("UPDATE leases SET awaits = 'return'")

    present.ledger.exclusive(put_back).result()


def before_correcting(
    present: Present, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]
) -> None:
    """Let something happen once a look has read what the record says of the job."""
    read = present.ledger.job

    def job(uuid: str) -> Job | None:
        found = read(uuid)
        monkeypatch.undo()
        meanwhile()
        return found

    monkeypatch.setattr(present.ledger, "job", job)


async def test_a_row_is_corrected_by_the_time_of_its_correction(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored(present)
    before_correcting(present, monkeypatch, lambda: present.clock.advance(STEP_S))
    await present.after(LOST_S)
    assert left_s(present) == LEASE_S


async def test_a_row_that_has_changed_meanwhile_is_not_corrected(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored(present)
    before_correcting(
        present, monkeypatch, lambda: present.opened.do(TakeUpJob("j", 1, THERE, replaces=True))
    )
    await present.after(LOST_S)
    lease = present.lease()
    assert lease is not None
    assert lease.attempt == 2


async def test_nothing_is_read_of_a_job_whose_row_was_changed_by_its_loss(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look may find hundreds; only those that stayed as they were need a correction."""
    present.opened.do(working())
    read: list[str] = []
    job = present.ledger.job
    monkeypatch.setattr(present.ledger, "job", lambda uuid: read.append(uuid) or job(uuid))
    await present.after(LOST_S)
    assert (present.told(), read) == (["JobAttemptLost"], [])


async def test_no_beat_is_held_of_a_job_that_was_not_renewed(present: Present) -> None:
    present.opened.do(working())
    await present.beat()
    assert present.beats.may_hold("j", 1)
    present.opened.do(EndJob("j", 1, DONE))
    assert not (await present.beat()).renewed
    assert not present.beats.may_hold("j", 1)


def test_beats_change_rows_in_the_order_of_their_jobs(present: Present) -> None:
    """As all do who change several: two that did it in other orders would wait for each other."""
    present.opened.do(*map(working, "abc"))
    written: list[str] = []

    class Noting:
        def __init__(self, cursor: Cursor) -> None:
            self._cursor = cursor

        def __getattr__(self, name: str) -> object:
            return getattr(self._cursor, name)

        def executemany(self, statement: str, rows: list[tuple[str, ...]]) -> object:
            written.extend(row[0] for row in rows)
            return self._cursor.executemany(statement, rows)

    present.ledger.exclusive(
        lambda cursor: leases.renew(Noting(cursor), map(beat, "cab"))  # type: ignore[arg-type]
    ).result()
    assert written == ["a", "b", "c"]


def test_who_gives_up_an_earlier_attempt_ends_nothing(present: Present) -> None:
    present.opened.do(working(), LoseProducer("j", 1), TakeUpJob("j", 1, THERE))
    present.opened.do(LoseProducer("j", 2), AbandonJob("j", 1))
    assert present.job().state == "started"


def test_a_row_that_somebody_has_made_meanwhile_stays(
    present: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    present.opened.do(working())
    present.ledger.exclusive(lambda cursor: leases.apply(cursor, [leases.Forget("j")])).result()
    exclusive = present.ledger.exclusive

    def make_before(work: Callable[[Cursor], T]) -> object:
        monkeypatch.undo()
        exclusive(
            lambda cursor: leases.apply(cursor, [Expect("j", "j", 1, "return", 300)])
        ).result()
        return exclusive(work)

    monkeypatch.setattr(present.ledger, "exclusive", make_before)
    assert make_missing(present.ledger, ["j"]) == 0
    lease = present.lease()
    assert lease is not None
    assert lease.awaits == "return"
